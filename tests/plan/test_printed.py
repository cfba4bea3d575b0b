"""A plan beside what reports print of the same model."""

import pytest

from pellucid.plan.devices import planned_on
from pellucid.plan.plan import make_plan
from pellucid.plan.printed import printed_notes
from pellucid.recipe.recipe import Recipe


def notes(recipe: Recipe) -> str:
    plan = make_plan(recipe)
    return "\n".join(printed_notes(recipe, plan["parameters"]["total"], plan["tokens"]["total"], plan["stages"]))


def test_the_printed_figures_of_stable_lm_2_are_explained(stable_lm: Recipe) -> None:
    text = notes(stable_lm)
    for figure in (
        "1 644 417 024",
        "1 644 515 328",
        "98 304 = 24 · 2 · 2048",
        "2 009 831 803 929, 4 fewer",
        "reports about 92 000 device-hours. At its 170 TFLOP/s these tokens take 32 400 (6N) to 40 300",
        "35% to 44% of them",
        "Its weights add up to 1.0001, not 1: StackExchange's is printed as 0.0231, and its tokens are 0.0230 of the whole",
        "about 170 TFLOP/s on each of 512 A100-40GB: inside the forecast",
        "micro-batches of 2 without activation checkpointing, fits here as there",
    ):
        assert figure in text, figure


def test_tinyllamas_speed_and_hours_are_set_beside_the_forecast(tinyllama: Recipe) -> None:
    text = notes(tinyllama)
    assert "about 24 000 tokens/s on each of 16 A100-40GB: inside the forecast" in text
    assert "3 456 device-hours for 300 B tokens" in text
    assert "micro-batches of 8 without activation checkpointing, fits here as there" in text


@pytest.mark.parametrize("where", ["8xH100", "A100-40GB"])
def test_other_devices_and_lengths_have_no_printed_speed(stable_lm: Recipe, tinyllama: Recipe, where: str) -> None:
    assert notes(planned_on(tinyllama, where)) == ""
    short = stable_lm.train[0].model_copy(update={"length_tokens": 10**9})
    elsewhere = planned_on(stable_lm.model_copy(update={"train": (short,)}), where)
    assert len(notes(elsewhere).splitlines()) == 1
