from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import orjson
import pytest

from pellucid.core.files import write_json
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.numbers import check_numbers

NUMBERS: list[dict[str, Any]] = [
    {"id": "n1", "file": "pretrain/receipt.json", "pointer": "/steps/planned", "value": 30, "text": "30"},
    {"id": "n2", "file": "pretrain/metrics.jsonl", "pointer": "/3/step", "value": 3, "text": "3 < 4 & more"},
    {"id": "n3", "file": "plan/plan.json", "pointer": "/recipe", "value": "pocket-smoke", "text": "pocket-smoke"},
]


@pytest.fixture
def reported(run_copy: Path) -> Path:
    """A run with a list of its report's numbers, and a page with an anchor for each."""
    write(run_copy, NUMBERS)
    return run_copy


def write(run: Path, numbers: list[dict[str, Any]]) -> None:
    write_json(run / "report" / "numbers.json", {"schema_version": 1, "numbers": numbers})
    anchors = [
        f'<p>So it is: <a class="fact" href="../{one["file"]}" id="{one["id"]}">{escape(one["text"])}</a>.</p>' for one in numbers
    ]
    (run / "report" / "index.html").write_text(f"<!doctype html><body>{''.join(anchors)}</body>")


def check(run: Path) -> Findings:
    return check_numbers(Evidence(run))


def test_every_number_of_a_real_report_is_in_its_artifact(finished_run: Path) -> None:
    findings = check(finished_run)
    assert findings.faults == [] and findings.looked > 200


def test_every_number_of_a_list_is_in_its_artifact_and_on_the_page(reported: Path) -> None:
    findings = check(reported)
    assert findings.faults == [] and findings.looked == 3 and findings.checked == ["report/numbers.json"]


@pytest.mark.parametrize(
    ("number", "fields", "told"),
    [
        (0, {"value": 31}, "pretrain/receipt.json#/steps/planned holds 30; the report says 31"),
        (1, {"pointer": "/999999/step"}, "pretrain/metrics.jsonl has nothing at /999999/step"),
        (2, {"file": "plan/none.json"}, "plan/none.json#/recipe is not there"),
        (2, {"file": "../../etc/passwd"}, "../../etc/passwd#/recipe is not there"),
        (2, {"value": True}, 'holds "pocket-smoke"; the report says true'),
    ],
)
def test_a_number_that_its_artifact_does_not_hold_is_named(reported: Path, number: int, fields: dict[str, Any], told: str) -> None:
    numbers = [dict(one) for one in NUMBERS]
    numbers[number].update(fields)
    write(reported, numbers)
    (fault,) = check(reported).faults
    assert fault.startswith(f"{reported / 'report' / 'numbers.json'} number n{number + 1}: ") and told in fault


def test_a_page_that_shows_another_number_is_named(reported: Path) -> None:
    page = reported / "report" / "index.html"
    page.write_text(page.read_text().replace(">30<", ">29<").replace('id="n3"', 'id="n4"'))
    said = check(reported).faults
    assert [line.split(":")[0] for line in said] == [f"{page} number n1", f"{page} number n3"]
    assert "says '30'; the page shows '29'" in said[0]


def test_a_page_without_a_list_carries_its_values(reported: Path) -> None:
    (reported / "report" / "numbers.json").unlink()
    cell = '<a class="fact" data-file="plan/plan.json" data-pointer="/recipe" data-value="{}">x</a>'
    page = reported / "report" / "index.html"
    page.write_text(cell.format(escape(orjson.dumps("pocket-smoke").decode())))
    assert check(reported).faults == [] and check(reported).looked == 1
    page.write_text(cell.format("&quot;other&quot;"))
    assert len(check(reported).faults) == 1
    page.write_text(cell.format("{"))
    assert "is not JSON" in check(reported).faults[0]


def test_many_faults_are_told_in_few_lines(reported: Path) -> None:
    write(reported, [{**NUMBERS[0], "id": f"n{n}", "value": -1} for n in range(100)])
    said = check(reported).faults
    assert len(said) == 21 and "80 more numbers" in said[-1]


def test_numbers_from_files_that_were_left_out_are_counted(reported: Path, release: Callable[..., Path]) -> None:
    release(reported, ["pretrain/metrics.jsonl"])
    findings = check(reported)
    assert findings.faults == [] and "1 numbers are from files that are left out of this release" in findings.notes


def test_a_page_of_nothing_but_brackets_takes_no_longer(reported: Path) -> None:
    (reported / "report" / "index.html").write_text("<a " * 300_000 + "<a id=" + "x" * 300_000)
    assert len(check(reported).faults) == 3
