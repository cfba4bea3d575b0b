"""The page's section about capabilities over training, on a run that measured some."""

import json
from pathlib import Path

from pellucid.report.curves import over_training
from pellucid.report.facts import Facts, resolve
from pellucid.report.html import Html
from pellucid.stages.run_folder import open_recipe


def shown(run: Path) -> tuple[str, Html]:
    section, html = over_training(Facts(run), open_recipe(run)), Html()
    assert section is not None
    return html.block(section), html


def test_the_section_shows_curves_with_bands_rankings_and_forecasts(finished_run: Path) -> None:
    page, _ = shown(finished_run)
    assert page.count("<h3>") == 1 and page.count("<svg") == 3
    for told in ("What measuring 11 times cost", "By halves", "12 items", "Forecast", "Came", "one in twenty", "bits per byte"):
        assert told in page, told


def test_every_number_is_what_its_pointer_names(finished_run: Path) -> None:
    page, html = shown(finished_run)
    document = json.loads((finished_run / "pretrain" / "curves.json").read_text())
    assert len(html.numbers) > 40
    for number, fact in enumerate(html.numbers, start=1):
        assert fact.value == resolve(document, fact.pointer)
        assert f'id="n{number}" tabindex="0" role="button" aria-describedby="s{number}">{fact.text}</a>' in page


def test_a_run_that_measured_nothing_has_no_such_section(run_copy: Path) -> None:
    (run_copy / "pretrain" / "curves.json").unlink()
    assert over_training(Facts(run_copy), open_recipe(run_copy)) is None


def test_missing_bands_rankings_and_forecasts_are_shown_as_none(run_copy: Path) -> None:
    file = run_copy / "pretrain" / "curves.json"
    document = json.loads(file.read_text())
    for task in document["tasks"].values():
        for metric in task["metrics"].values():
            metric["forecast"] = None
            metric["tau"]["with_steps"] = dict.fromkeys(metric["tau"]["with_steps"])
            for point in metric["points"]:
                point.update(low=None, high=None)
    document["failed"] = [{"task": "perplexity", "step": 3, "error": "no numbers"}]
    file.write_text(json.dumps(document))
    page, _ = shown(run_copy)
    assert "Forecast" not in page and "scores that were no numbers" in page and "–" in page


def test_a_tau_that_rounds_to_nothing_has_no_sign(run_copy: Path) -> None:
    file = run_copy / "pretrain" / "curves.json"
    document = json.loads(file.read_text())
    for task in document["tasks"].values():
        for metric in task["metrics"].values():
            metric["tau"]["with_steps"]["tau"] = -0.001
    file.write_text(json.dumps(document))
    page, _ = shown(run_copy)
    assert ">0.00<" in page and ">-0.00<" not in page
