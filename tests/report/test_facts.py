from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.report.facts import Facts, resolve


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
