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
