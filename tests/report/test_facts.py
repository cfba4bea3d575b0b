from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.report.facts import Fact, Facts, before_report, resolve


def test_pointers_follow_rfc_6901() -> None:
    document = {"a/b": [{"m~n": 1}], "": 2}
    assert resolve(document, "/a~1b/0/m~0n") == 1
    assert resolve(document, "/") == 2
    assert resolve(document, "") == document


def test_a_fact_carries_value_text_and_place(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step":1,"loss":2.5}\n{"step":2,"loss":2.25}\n')
    fact = Facts(tmp_path).get("metrics.jsonl", 1, "loss", show=lambda value: f"{value:.1f}")
    assert (fact.text, fact.value, fact.file, fact.pointer) == ("2.2", 2.25, "metrics.jsonl", "/1/loss")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"plan\.json is missing"):
        Facts(tmp_path).get("plan/plan.json", "total")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ArtifactError, match="has nothing at /total"):
        Facts(tmp_path).get("a.json", "total")


def test_what_the_report_makes_stands_for_what_an_earlier_one_left(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "verification.json").write_text('{"faults_found": 3}')
    facts = Facts(tmp_path, {"report/verification.json": {"faults_found": 0}})
    assert facts.has("report/verification.json") and not facts.has("report/other.json")
    assert facts.get("report/verification.json", "faults_found").value == 0


def test_the_ledger_ends_where_the_report_was_begun() -> None:
    run = [{"event": "start", "stage": "export"}, {"event": "end", "stage": "export"}]
    report = [{"event": "start", "stage": "report"}, {"event": "end", "stage": "report"}]
    again = [{"event": "unchanged", "stage": "plan"}, {"event": "start", "stage": "account"}, *report]
    assert before_report(run) == run
    assert before_report([*run, *report, *again]) == run
    assert before_report([*run, *report, *run, *report]) == [*run, *report, *run]
    assert before_report(report) == []


def test_what_an_older_artifact_does_not_tell_is_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"layers": 3, "none": null}')
    facts = Facts(tmp_path)
    found = facts.known("a.json", "layers", otherwise="2")
    assert isinstance(found, Fact) and found.value == 3
    assert (
        facts.known("a.json", "heads", otherwise="2")
        == facts.known("a.json", "none", otherwise="2", show=lambda value: f"{value:g}")
        == "2"
    )
    assert facts.known("b.json", "heads", otherwise="2") == "2"


def test_what_is_shown_of_a_value_holds_nothing_unseen(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "a\\u202eb"}')
    facts = Facts(tmp_path)
    assert facts.get("a.json", "name").text == "a⟨U+202E⟩b" and facts.get("a.json", "name").value == "a\u202eb"
    known = facts.known("a.json", "name", otherwise="")
    assert isinstance(known, Fact) and known.text == "a⟨U+202E⟩b"
