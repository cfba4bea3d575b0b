"""One stage of a plan as text."""

from rich.console import Console, Group

from pellucid.plan.devices import planned_on
from pellucid.plan.plan import make_plan
from pellucid.plan.render_stage import render_stage
from pellucid.recipe.recipe import Recipe


def shown(recipe: Recipe, width: int = 80) -> str:
    plan = make_plan(recipe)
    console = Console(width=width, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*render_stage(plan["stages"][0], plan, [0.0, 1.0, 0.5])))
    return capture.get().replace("\u00a0", " ")


def test_the_bound_the_memory_and_the_micro_batches_are_shown_in_80_columns(stable_lm: Recipe) -> None:
    text = shown(stable_lm)
    for part in ("bound by compute", "33.2 GiB of 38.3 GiB, fits", "sharding zero1", "→ 2", "(49.1)", "GiB by micro-batch"):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 80


def test_what_makes_a_stage_fit_is_one_line(stable_lm: Recipe) -> None:
    text = shown(planned_on(stable_lm, "8xL4"), 120)
    (line,) = [line for line in text.splitlines() if line.startswith("what makes it fit: ")]
    assert "needs" in line and "does not fit" in text


def test_one_device_has_no_sharding(pocket: Recipe) -> None:
    text = shown(pocket)
    assert "zero1" not in text and "communication" not in text
    assert "gradients come as activations go" in text


def test_the_meaningful_share_of_the_peak_stands_first(stable_lm: Recipe) -> None:
    text = shown(stable_lm, 120)
    (line,) = [line for line in text.splitlines() if line.startswith("a device ")]
    assert line.index("of its peak by need") < line.index("with attention")


def test_steps_are_told_as_far_as_they_are_known(zephyr: Recipe, uncounted: Recipe) -> None:
    assert "at most 10 161 414 144 tokens in 4 846 steps of 2 097 152" in shown(zephyr, 120)
    assert "so many steps of 2 097 152 tokens as its examples will make" in shown(uncounted, 120)
    plan = make_plan(zephyr)
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(Group(*render_stage(plan["stages"][2], plan, None)))
    assert "about 122 880 000 tokens in 469 steps or more of 262 144" in capture.get().replace("\u00a0", " ")
