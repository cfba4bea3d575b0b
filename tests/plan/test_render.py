"""A plan as text."""

import pytest
from rich.console import Console

from pellucid.optim.schedules import learning_rate
from pellucid.plan.devices import planned_on
from pellucid.plan.plan import make_plan
from pellucid.plan.render import render_plan
from pellucid.recipe.recipe import Recipe


def shown(recipe: Recipe, width: int = 120) -> str:
    console = Console(width=width, record=True, force_terminal=False)
    stage = recipe.train[0]
    rates = [learning_rate(stage.schedule, step * stage.total_steps / 100, stage.total_steps) for step in range(101)]
    with console.capture() as capture:
        console.print(render_plan(make_plan(recipe), {stage.name: rates}))
    return capture.get()


def test_the_text_holds_the_figures_that_matter(stable_lm: Recipe) -> None:
    text = shown(stable_lm)
    plain = text.replace("\u00a0", " ")
    for figure in (
        "1 644 515 328",
        "RefinedWeb",
        "0.3292",
        "661 591 178 341",
        "1.15",
        "239 591 steps",
        "zero1",
        "40 292",
        "33.2 GiB of 38.3 GiB, fits",
        "3 d 06 h (2 d 10 h to 4 d 05 h)",
        "learning rate of pretrain",
        "█",
    ):
        assert figure in plain, figure


@pytest.mark.parametrize("width", [60, 200])
def test_every_recipe_renders_at_any_width(pocket: Recipe, tinyllama: Recipe, width: int) -> None:
    for recipe in (pocket, tinyllama):
        assert recipe.sources[0].name in shown(recipe, width)


def test_the_sources_show_their_shares_under_that_name(stable_lm: Recipe) -> None:
    heading = next(line for line in shown(stable_lm).splitlines() if line.startswith("source "))
    assert heading.split() == ["source", "share", "tokens", "epochs", "category"]


def test_the_headline_says_how_well_the_length_is_known(zephyr: Recipe, uncounted: Recipe, pocket: Recipe) -> None:
    text = shown(planned_on(zephyr, "8xA100-80GB"))
    assert "parameters, at most about 10.4 B tokens, on 8" in text and "\nat most about 21 h " in text
    assert "80 GB, at most about\n" in text
    text = shown(uncounted)
    head = text.partition("\n\n")[0]
    assert "tokens not known" in head and "how many examples sft and dpo will read" in head
    assert "a step of sft takes" in head and "a step of dpo takes" in head and "$" not in head and "kWh" not in head
    assert "with no more than one step of sft and dpo" in text
    assert "parameters, about 6.07 M tokens" in shown(pocket)


def test_the_headline_names_layouts_that_training_refuses(stable_lm: Recipe) -> None:
    for count in (3, 4096):
        text = shown(planned_on(stable_lm, f"{count}xH100"))
        assert f"pretrain cannot be dealt out to {count} devices" in text.splitlines()[1] and "it fits" not in text
    text = shown(planned_on(stable_lm, "3xL4"))
    assert "pretrain cannot be dealt out to 3 devices; pretrain does not " in text.splitlines()[1]


def test_a_recipe_without_text_has_no_tables_of_it(zephyr: Recipe, pocket: Recipe) -> None:
    assert "sources" not in shown(zephyr) and "categories" not in shown(zephyr)
    assert "\nsources\n" in shown(pocket) and "\ncategories\n" in shown(pocket)
