import builtins
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.ledger import Ledger
from pellucid.verify.evidence import Evidence
from pellucid.verify.findings import Findings
from pellucid.verify.numbers import check_numbers

OLDER = "0.0.1+src.0123456789ab"


def check(evidence: Evidence) -> Findings:
    evidence.deep = True
    return check_numbers(evidence)


def forge(run: Path, rewrite: Callable[..., None]) -> dict[str, Any]:
    """Show another mass of CO2 on the page and in the list, beside the value that was there."""
    forged: dict[str, Any] = {}

    def lighter(told: dict[str, Any]) -> None:
        number = next(one for one in told["numbers"] if one["pointer"] == "/total/kg_co2e")
        forged.update(number)
        number["text"] = "0.001 kg"

    rewrite(run / "report" / "numbers.json", lighter)
    page = run / "report" / "index.html"
    before = page.read_text()
    place = before.index(f'id="{forged["id"]}"')
    page.write_text(before[:place] + before[place:].replace(f">{forged['text']}<", ">0.001 kg<", 1))
    assert page.read_text() != before
    return forged


def test_a_report_is_the_same_when_it_is_made_again_also_after_more_was_done(run_copy: Path) -> None:
    findings = check(Evidence(run_copy))
    assert findings.faults == [] and findings.notes == []
    Ledger(run_copy).append("start", stage="verify", attempt=1)
    Ledger(run_copy).append("end", stage="verify", attempt=1, seconds=9.0)
    findings = check(Evidence(run_copy))
    assert findings.faults == [] and findings.notes == []


def test_a_text_that_is_not_its_value_is_a_fault(run_copy: Path, rewrite: Callable[..., None]) -> None:
    forged = forge(run_copy, rewrite)
    assert check_numbers(Evidence(run_copy)).faults == []  # list and page agree, and so do list and artifact
    report = run_copy / "report"
    assert [line.split(";")[0] for line in check(Evidence(run_copy)).faults] == [
        f"{report / 'index.html'} is another when the report is made again",
        f"{report / 'numbers.json'} number {forged['id']}: text is {forged['text']!r} when made again",
    ]


def test_pages_and_figures_that_hold_no_listed_number_are_compared_too(run_copy: Path) -> None:
    for name in ("report.pdf", "data.html", "croissant.json"):
        file = run_copy / "report" / name
        file.write_bytes(file.read_bytes() + b" ")
    table = next((run_copy / "report" / "figures").glob("*.csv"))
    table.unlink()
    said = [line.split(" ")[0] for line in check(Evidence(run_copy)).faults]
    assert said == sorted(
        str(run_copy / "report" / name)
        for name in ("report.pdf", "data.html", "croissant.json", table.relative_to(run_copy / "report"))
    )


def test_what_another_version_made_is_compared_by_its_values(run_copy: Path, rewrite: Callable[..., None]) -> None:
    forged = forge(run_copy, rewrite)
    evidence = Evidence(run_copy)
    evidence.artifacts["report"] = replace(evidence.artifacts["report"], code_version=OLDER)
    findings = check(evidence)
    assert findings.faults == []
    assert findings.notes[0].startswith(
        f"the report was not compared with one that is made again: it was made by {OLDER}, and this"
    )
    assert f"{forged['id']} ('0.001 kg' of " in findings.notes[1]


def test_drawings_of_other_packages_are_a_note_and_the_rest_is_compared(run_copy: Path) -> None:
    figure = next((run_copy / "report" / "figures").glob("*.svg"))
    figure.write_text(figure.read_text() + " ")
    assert len(check(Evidence(run_copy)).faults) == 1
    evidence = Evidence(run_copy)
    evidence.artifacts["report"].config["drawn_with"]["matplotlib"] = "3.0.0"
    findings = check(evidence)
    assert findings.faults == []
    assert findings.notes == [f"drawings differ, which other versions of packages made here: figures/{figure.name}"]
    page = run_copy / "report" / "index.html"
    page.write_text(page.read_text().replace("</h1>", "!</h1>", 1))
    assert len(check(evidence).faults) == 1


def test_without_the_packages_texts_are_compared_with_values(
    run_copy: Path, rewrite: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(run_copy, rewrite)
    really = importlib.import_module

    def without_matplotlib(name: str, package: str | None = None) -> Any:
        if name.startswith("matplotlib"):
            raise builtins.ImportError(name)
        return really(name, package)

    monkeypatch.setattr("pellucid.report.canvas.import_module", without_matplotlib)
    findings = check(Evidence(run_copy))
    assert findings.faults == [] and "needs the package matplotlib" in findings.notes[0] and "0.001 kg" in findings.notes[1]


def test_what_cannot_be_made_again_is_told(run_copy: Path, release: Callable[..., Path]) -> None:
    (run_copy / "report" / "link").symlink_to("/etc/passwd")
    assert "the folder has links" in check(Evidence(run_copy)).notes[0]
    (run_copy / "report" / "link").unlink()
    documents = [str(file.relative_to(run_copy)) for file in (run_copy / "documents").rglob("*.parquet")]
    findings = check(Evidence(release(run_copy, documents)))
    assert findings.faults == []
    assert findings.notes[-1].endswith("the documents that data.html and croissant.json are about are not here")
    assert not any("not compared" in note for note in findings.notes)
