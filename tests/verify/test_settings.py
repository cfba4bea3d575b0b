from pathlib import Path

import pytest

from pellucid.verify.evidence import Evidence
from pellucid.verify.settings import expected_settings


@pytest.mark.parametrize(
    ("folder", "kind", "some"),
    [
        ("plan", "plan", {"seed", "model", "export"}),
        ("documents", "documents", {"sources", "heldout_frac", "max_bytes"}),
        ("tokenizer", "tokenizer", {"kind", "vocab_tokens", "sources"}),
        ("shards", "shards", {"shard_tokens", "sources"}),
        ("conversations", "conversations", {"sources", "system", "max_bytes"}),
        ("pretrain", "checkpoint_stage", {"stage", "model"}),
        ("sft", "checkpoint_stage", {"stage", "model", "chat"}),
        ("scores", "scores", {"baselines", "sources"}),
        ("exports", "exports", {"formats", "name"}),
        ("benchmarks", "benchmarks", {"suites", "settings"}),
        ("report", "report", {"name"}),
    ],
)
def test_manifests_record_settings_under_these_names(finished_run: Path, folder: str, kind: str, some: set[str]) -> None:
    evidence = Evidence(finished_run)
    assert evidence.artifacts[folder].kind == kind
    expected, recorded = expected_settings(evidence, folder, kind), evidence.artifacts[folder].config
    assert some <= expected.keys() & recorded.keys()


def test_unknown_kinds_and_stages_that_the_recipe_lacks_have_none(finished_run: Path) -> None:
    evidence = Evidence(finished_run)
    assert expected_settings(evidence, "throughput", "throughput") == {}
    assert expected_settings(evidence, "second", "checkpoint_stage") == {"stage": None}
