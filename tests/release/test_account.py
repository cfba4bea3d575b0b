import json
from pathlib import Path

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.release.account import Account


def test_what_training_took_is_the_sum_of_the_receipts(account: Account) -> None:
    expected: dict[str, int] = {}
    for stage in ("pretrain", "sft", "dpo", "self_knowledge"):
        for name, taken in read_json(account.run / stage / "receipt.json")["consumed"]["sources"].items():
            expected[name] = expected.get(name, 0) + taken["tokens"]
    assert {name: taken.tokens for name, taken in account.consumed.items()} == expected
    assert account.consumed["three-js.en"].epochs.keys() == {"pretrain"}


def test_manifests_versions_and_dates_are_those_of_the_artifacts(account: Account) -> None:
    assert {"plan", "documents", "shards", "pretrain", "exports", "report"} <= account.manifests.keys()
    recorded = read_manifest(account.run / "pretrain").environment["packages"]
    assert {name: versions[-1] for name, versions in account.package_versions.items()}.items() >= recorded.items()
    assert account.finished_at >= max(manifest.started_at for manifest in account.manifests.values())
    assert account.code_versions == [read_manifest(account.run / "plan").code_version]


def test_languages_are_those_of_the_documents_by_size(account: Account) -> None:
    assert account.languages == ["en", "fr", "de"]


def test_numbers_are_those_of_plan_and_scores(account: Account) -> None:
    assert account.parameters == read_json(account.run / "plan" / "plan.json")["parameters"]["total"]
    assert account.heldout == read_json(account.run / "scores" / "heldout.json")
    assert list(account.results) == ["benchmarks/self_knowledge/reflection/result.json"]
    assert {"chatterbot.en", "instructions"} <= account.funnels.keys()
    assert account.text_licence == "Apache-2.0"


def test_a_run_is_known_by_the_first_line_of_its_ledger(account: Account, run_copy: Path) -> None:
    same = Account(run_copy, account.recipe, [], account.selection)
    assert same.identity == account.identity
    lines = (run_copy / "ledger.jsonl").read_text().splitlines()
    (run_copy / "ledger.jsonl").write_text(json.dumps({"event": "start"}) + "\n" + "\n".join(lines[1:]))
    assert Account(run_copy, account.recipe, [], account.selection).identity != account.identity
    (run_copy / "ledger.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"ledger.jsonl is missing"):
        assert Account(run_copy, account.recipe, [], account.selection).identity
