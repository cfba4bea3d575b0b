import json
from pathlib import Path
from typing import Any

import pytest

from pellucid.report.study.page import study_sections, write_study_page


@pytest.fixture
def found(finished_study: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((finished_study / "results/study.json").read_text())
    return values


def test_the_page_names_every_run_with_levels_outcome_and_cost(found: dict[str, Any], tmp_path: Path) -> None:
    write_study_page(found, tmp_path / "r/index.html")
    page = (tmp_path / "r/index.html").read_text()
    for run in found["runs"]:
        assert run["name"] in page
        assert f"{run['metric']:.4f}" in page
    assert found["study"]["description"] in page
    assert "16.4 k of 73.7 k" in page
    assert "<script" not in page


def test_what_comes_from_outside_is_text_and_no_markup(found: dict[str, Any], tmp_path: Path) -> None:
    found["study"]["name"] = found["study"]["description"] = "<b>x</b>"
    found["runs"][0].update(name="<i>", outcome="failed", message="<img src=x>", metric=None)
    write_study_page(found, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "<b>x</b>" not in page and "<i>" not in page and "<img" not in page


def test_other_settings_are_a_warning(found: dict[str, Any], tmp_path: Path) -> None:
    write_study_page(found, tmp_path / "index.html")
    assert "All were trained with: compiled no, device cpu, precision fp32, ranks 1" in (tmp_path / "index.html").read_text()
    one = found["made_with"][0]
    found["made_with"] = [one, {**one, "settings": {**one["settings"], "threads": 2}, "runs": ["a-s1"]}]
    write_study_page(found, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "Not all runs were trained with the same settings" in page
    assert "threads 2" in page and ": a-s1." in page
    # Stages that differ, in all runs alike, are no difference between runs.
    found["made_with"] = [one, {**one, "stage": "anneal", "settings": {**one["settings"], "precision": "bf16"}}]
    write_study_page(found, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "Not all runs" not in page
    assert "All were trained with, in anneal: compiled no, device cpu, precision bf16" in page


def test_runs_that_were_not_begun_leave_gaps(found: dict[str, Any]) -> None:
    found["runs"][0].update(outcome="not begun", message="budget.tokens has no room", metric=None, tokens=0, cpu_s=0.0)
    names = [section.name for section in study_sections(found)]
    assert {"cost", "runs"} <= set(names)
