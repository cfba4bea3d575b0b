import json
from dataclasses import replace
from pathlib import Path

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.release.account import Account
from pellucid.release.data_cards import card_of


def test_what_training_took_is_the_sum_of_the_receipts(account: Account) -> None:
    expected: dict[tuple[str, str], int] = {}
    kinds = {"pretrain": "documents", "sft": "conversations", "dpo": "conversations", "self_knowledge": "written"}
    for stage, kind in kinds.items():
        for name, taken in read_json(account.run / stage / "receipt.json")["consumed"]["sources"].items():
            expected[kind, name] = expected.get((kind, name), 0) + taken["tokens"]
    assert {key: taken.tokens for key, taken in account.consumed.items()} == expected
    assert account.consumed["documents", "three-js.en"].epochs.keys() == {"pretrain"}


def rename(file: Path, old: str, new: str, *at: str) -> None:
    document = read_json(file)
    names = document
    for key in at:
        names = names[key]
    names[new] = names.pop(old)
    write_json(file, document)


def test_documents_and_conversations_of_one_name_are_kept_apart(run_copy: Path, account: Account) -> None:
    apart = dict(account.funnels), dict(account.consumed)
    rename(run_copy / "documents" / "funnel.json", "chatterbot.en", "chatterbot", "sources")
    rename(run_copy / "pretrain" / "receipt.json", "chatterbot.en", "chatterbot", "consumed", "sources")
    named = {"chatterbot.en": "chatterbot"}
    sources = [replace(one, name=named.get(one.name, one.name)) for one in account.sources]
    texts = tuple(one.model_copy(update={"name": named.get(one.name, one.name)}) for one in account.recipe.sources)
    same = Account(run_copy, account.recipe.model_copy(update={"sources": texts}), sources, account.selection)
    for mine, before in zip((same.funnels, same.consumed), apart, strict=True):
        assert mine["documents", "chatterbot"] == before["documents", "chatterbot.en"]
        assert mine["conversations", "chatterbot"] == before["conversations", "chatterbot"]
    told = {one.kind: card_of(same, one) for one in sources if one.name == "chatterbot"}
    assert f"| kept to train on | {apart[0]['documents', 'chatterbot.en']['kept']} |" in told["documents"]
    assert f"| kept to train on | {apart[0]['conversations', 'chatterbot']['kept']} |" in told["conversations"]
    assert "| Kind | documents |" in told["documents"] and "| Domain |" in told["documents"]


def test_what_a_stage_wrote_has_a_funnel_too(account: Account) -> None:
    told = read_json(account.run / "self_knowledge" / "data" / "funnel.json")
    funnel = account.funnels["written", "self_knowledge"]
    assert funnel["kept"] == sum(told["examples"]["train"].values())
    assert funnel["heldout"] == sum(told["examples"]["heldout"].values())
    assert sum(funnel["dropped"].values()) == sum(sum(told[place]["dropped"].values()) for place in ("first_messages", "answers"))


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
    assert {("documents", "chatterbot.en"), ("conversations", "instructions")} <= account.funnels.keys()
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
