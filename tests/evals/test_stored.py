"""Results are found where people point, and what is damaged is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.evals.stored import find_results, open_result, open_results, why_unlike

Write = Callable[..., Path]


@pytest.fixture
def results(write_result: Write, tmp_path: Path) -> Path:
    write_result(tmp_path / "a", "choices", "a", {"piqa": 0.5}, items=9)
    write_result(tmp_path / "a", "bose", "a", {"piqa": 0.5}, items=9)
    return tmp_path / "a"


def test_a_suite_a_folder_of_suites_and_a_run_are_all_found(results: Path, tmp_path: Path) -> None:
    both = [results / "bose", results / "choices"]
    assert find_results(results) == both
    assert find_results(results / "choices") == find_results(results / "choices" / "result.json") == [results / "choices"]
    run = tmp_path / "run"
    shutil.copytree(results, run / "evals" / "step-100")
    shutil.copytree(results / "bose", run / "elsewhere" / "bose")
    assert find_results(run) == [run / "evals" / "step-100" / name for name in ("bose", "choices")]
    shutil.copytree(results / "bose", run / "benchmarks" / "pretrain" / "bose")
    assert find_results(run)[0] == run / "benchmarks" / "pretrain" / "bose" and len(find_results(run)) == 3


def test_what_is_being_made_or_was_set_aside_is_passed_over(results: Path) -> None:
    shutil.copytree(results / "bose", results / ".needle.part")
    shutil.copytree(results / "bose", results / "bose.superseded-1")
    assert find_results(results) == [results / "bose", results / "choices"]


def test_a_result_knows_its_model_and_its_items(results: Path) -> None:
    one, other = open_results(results)
    assert (one.suite, other.suite, one.label) == ("bose", "choices", "a") and one.identity == other.identity
    assert list(one.records) == ["piqa"] and len(one.records["piqa"]) == 9 and one.complete


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        find_results(tmp_path / "none")
    with pytest.raises(UsageError, match=r"holds no results: looked for result\.json"):
        find_results(tmp_path)
    with pytest.raises(ArtifactError, match=r"result\.json is missing"):
        open_result(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "is of schema 2; this version reads 1"),
        ({"tasks": None}, "has no tasks"),
        ({"complete": "yes"}, r"has no complete \(bool\)"),
        ({"subject": {}}, "does not say which model"),
    ],
)
def test_other_versions_and_damage_are_named(results: Path, change: dict[str, object], message: str) -> None:
    file = results / "bose" / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match=message):
        open_result(results / "bose")


@pytest.mark.parametrize("text", ["[]", "{}", "{"])
def test_other_json_is_no_result(results: Path, text: str) -> None:
    (results / "bose" / "result.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"result\.json is (no result|not JSON)"):
        open_result(results / "bose")


def test_items_that_are_not_the_results_are_refused(results: Path) -> None:
    items = results / "bose" / "items.jsonl"
    items.write_bytes(b"".join(items.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ArtifactError, match=r"has 8 items of piqa, .*result.json says 9"):
        _ = open_result(results / "bose").records
    items.unlink()
    with pytest.raises(ArtifactError, match=r"items\.jsonl is missing"):
        _ = open_result(results / "bose").records


def test_a_suite_that_goes_on_may_have_more_items_than_its_tables(results: Path) -> None:
    file = results / "bose" / "result.json"
    raw = json.loads(file.read_text())
    raw["tasks"]["piqa"]["items"] = 7
    file.write_text(json.dumps(raw | {"complete": False}))
    assert len(open_result(results / "bose").records["piqa"]) == 9
    file.write_text(json.dumps(raw))
    with pytest.raises(ArtifactError, match=r"has 9 items of piqa, .*result.json says 7"):
        _ = open_result(results / "bose").records
    raw["tasks"]["piqa"]["items"] = 11
    file.write_text(json.dumps(raw | {"complete": False}))
    with pytest.raises(ArtifactError, match=r"has 9 items of piqa"):
        _ = open_result(results / "bose").records


@pytest.mark.parametrize(
    ("suite", "task", "facts"),
    [
        ("code", "humaneval", lambda digest: {"tasks": {"humaneval": {"sha256": digest}}}),
        ("instruct_eval", "humaneval", lambda digest: {"tasks": {}, "code": {"tasks": {"humaneval": {"sha256": digest}}}}),
        ("open_llm", "mmlu", lambda digest: {"tasks": {"mmlu": [{"sha256": "same"}, {"sha256": digest}]}}),
        ("choices", "piqa", lambda digest: {"tasks": {"piqa": {"sha256": {"piqa.jsonl": digest}}}}),
        ("bose", "piqa:blank", lambda digest: {"tasks": {"piqa": {"sha256": {"piqa.jsonl": digest}}}}),
        ("reflection", "gsm8k", lambda digest: {"probes": {"gsm8k": {"sha256": digest}}}),
        ("mt_bench", "mt_bench.judgements", lambda digest: {"data": {"question.jsonl": digest}}),
        ("needle", "needle", lambda digest: {"haystack": {"sha256": digest}}),
    ],
)
def test_other_data_are_told_by_the_digests_of_every_suite(
    suite: str, task: str, facts: Callable[[object], dict[str, object]]
) -> None:
    one, other, unknown, interrupted = ({"suite": suite, "facts": facts(digest)} for digest in ("a", "b", None, "c"))
    interrupted["facts"] = {}
    assert f"the data of {task} differ" in str(why_unlike(suite, task, one, other))
    for same in (one, unknown, interrupted):
        assert why_unlike(suite, task, one, same) is None
