from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.verify.evidence import Evidence
from pellucid.verify.places import lacking, shard_files


def test_nothing_is_lacking_in_a_finished_run(finished_run: Path) -> None:
    evidence = Evidence(finished_run)
    assert [lacking(evidence, stage) for stage in evidence.training] == [None] * 4
    files = list(shard_files(evidence, "shards/three-js.en/train"))
    assert {finished_run / name for name in files} == set((finished_run / "shards" / "three-js.en" / "train").iterdir())


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("pretrain", "shards/three-js.en/train/00000.bin"),
        ("pretrain", "shards/manifest.json"),
        ("sft", "conversations/chatterbot/train/targets.npy"),
        ("dpo", "conversations/preferences/train/chosen_score.npy"),
        ("self_knowledge", "self_knowledge/data/train/weight.npy"),
    ],
)
def test_what_is_lacking_is_named_also_when_it_is_a_link(run_copy: Path, stage: str, name: str) -> None:
    file = run_copy / name
    file.rename(run_copy / "elsewhere")
    file.symlink_to(run_copy / "elsewhere")
    evidence = Evidence(run_copy)
    assert lacking(evidence, next(one for one in evidence.training if one.name == stage)) == name


def test_names_that_lead_elsewhere_are_refused(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(run_copy / "conversations" / "preferences" / "train" / "examples.json", lambda told: told.update(values=["../../../x"]))
    evidence = Evidence(run_copy)
    with pytest.raises(ArtifactError, match=r"names the file '../../../x.npy'"):
        lacking(evidence, next(one for one in evidence.training if one.name == "dpo"))
