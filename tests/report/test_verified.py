from pathlib import Path

from pellucid.report.facts import Facts
from pellucid.report.html import render
from pellucid.report.verified import VERIFICATION, verified
from pellucid.stages.run_folder import open_recipe

FOUND = {
    "artifacts": 12, "bytes": 2048, "faults_found": 1, "faults": ["plan/plan.json was <altered>"], "notes": ["no release"],
    "checks": [
        {"name": "files", "proves": "every byte", "unit": "files", "looked": 1400, "faults": 1},
        {"name": "release", "proves": "nothing", "unit": "files", "looked": 0, "faults": 0},
    ],
}  # fmt: skip


def test_checks_faults_and_notes_are_shown_and_what_looked_at_nothing_is_not(finished_run: Path) -> None:
    section = verified(Facts(finished_run, {VERIFICATION: FOUND}), open_recipe(finished_run))
    assert section is not None
    html = render(section)
    for part in (
        "<td>files</td><td>every byte</td>",
        "1\u202f400</a>",
        " files</td>",
        "2 KiB</a>",
        "plan/plan.json was &lt;altered&gt;",
    ):
        assert part in html
    assert "<td>release</td>" not in html and "Worth knowing: no release." in html


def test_where_nothing_was_checked_there_is_no_section(tmp_path: Path, finished_run: Path) -> None:
    assert verified(Facts(tmp_path), open_recipe(finished_run)) is None
