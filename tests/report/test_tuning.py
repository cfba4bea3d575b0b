"""The page's section about tuning, on a run that went from a base model to an assistant."""

from pathlib import Path

from pellucid.report.facts import Facts
from pellucid.report.html import render
from pellucid.report.tuning import tuning
from pellucid.stages.run_folder import open_recipe


def test_the_section_tells_what_was_read_and_what_held_out_examples_say_before_and_after(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    section = tuning(Facts(finished_run), recipe)
    assert section is not None
    page = render(section)
    for stage in recipe.train:
        assert (f"<h3>{stage.name}</h3>" in page) == (not stage.learns_from_text)
    for told in ("Dropped: ", "accuracy", "Margin of each step", "negative", "loss, nats per target token", "loss, nats per pair"):
        assert told in page, told


def test_a_run_that_only_read_text_has_no_such_section(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    assert tuning(Facts(finished_run), recipe.model_copy(update={"train": recipe.text_stages})) is None
