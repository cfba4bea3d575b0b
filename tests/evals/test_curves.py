"""Curves from lines whose rankings are known, because the model that would have made them is a formula."""

from typing import Any

import numpy as np
import pytest

from pellucid.evals.choices.item import choice_item, text_item
from pellucid.evals.choices.measure import tasks_to_json
from pellucid.evals.choices.tasks import LoadedTask
from pellucid.evals.curves import SAMPLE_SIZES, read_curves, summarise_curves, tau_of_models

STEPS = 12
ITEMS = 120


def lines_and_tasks(noise: float = 0.0, items: int = ITEMS) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A model that gets better as 1 + 1/step, items of different difficulty, and `noise` on each nat."""
    random = np.random.default_rng(0)
    quiz = LoadedTask(
        "quiz", tuple(choice_item(str(n), "q", ["aa", "bb"], n % 2, f"g{n % 3}") for n in range(items)), {"path": "x"}
    )
    texts = LoadedTask("texts", tuple(text_item(str(n), "some text") for n in range(items)), {})
    tasks = dict(tasks_to_json([quiz, texts]))
    hard = random.uniform(0.5, 1.5, items)
    lines = []
    for step in range(STEPS):
        right = hard * (1 + 1 / (step + 1)) + noise * random.standard_normal(items)
        nats = [[float(one), 1.7][:: 1 if n % 2 == 0 else -1] for n, one in enumerate(right)]
        whole = [[float(4 * one)] for one in right]
        found = {
            name: {"digest": tasks[name]["digest"], "items": items, "nats": values}
            for name, values in (("quiz", nats), ("texts", whole))
        }
        lines.append({"step": 10 * step, "tokens": 1000 * step, "seconds": 0.5, "tasks": found})
    return lines, tasks


def test_values_are_those_of_the_lines() -> None:
    lines, tasks = lines_and_tasks()
    curves = read_curves(lines, tasks)
    assert curves["quiz"].keys() == {"acc", "acc_norm", "acc_bytes", "mass", "bits_per_byte"}
    right = [np.mean([nats[n % 2] < nats[1 - n % 2] for n, nats in enumerate(line["tasks"]["quiz"]["nats"])]) for line in lines]
    assert curves["quiz"]["acc"].values().tolist() == pytest.approx(right)
    bits = [sum(one[0] for one in line["tasks"]["texts"]["nats"]) / np.log(2) / (9 * ITEMS) for line in lines]
    assert curves["texts"]["bits_per_byte"].values().tolist() == pytest.approx(bits)


def test_a_model_that_always_improves_ranks_its_checkpoints_by_step_whatever_the_items() -> None:
    found = summarise_curves(*lines_and_tasks(), seed=1, min_gain=0.01)
    of_texts = found["tasks"]["texts"]["metrics"]["bits_per_byte"]
    assert of_texts["tau"]["with_steps"] == {"tau": 1.0, "mean": 1.0, "low": 1.0, "high": 1.0}
    assert of_texts["tau"]["split_half"]["mean"] == 1.0
    assert [row["tau"] for row in of_texts["tau"]["items_between"]] == pytest.approx([1.0] * (STEPS - 1))
    assert found["between_tasks"][0] == {
        "tasks": ["quiz", "texts"], "metrics": ["bits_per_byte", "bits_per_byte"], "checkpoints": STEPS, "tau": 1.0
    }  # fmt: skip
    assert not of_texts["higher_is_better"] and found["tasks"]["quiz"]["metrics"]["acc"]["higher_is_better"]


def test_with_noise_fewer_items_rank_less_reliably() -> None:
    found = summarise_curves(*lines_and_tasks(noise=0.8), seed=1)["tasks"]["quiz"]["metrics"]["bits_per_byte"]
    sizes, taus = zip(*((row["items"], row["mean"]) for row in found["stability"]), strict=True)
    assert sizes == (*(n for n in SAMPLE_SIZES if n < ITEMS), ITEMS)
    assert list(taus) == sorted(taus) and taus[0] < 0.9 and taus[-1] == 1.0
    # Halves share no item, so they agree less than a sample with the whole that it is part of.
    assert found["tau"]["split_half"]["mean"] < taus[1]
    assert found["tau"]["split_half"]["low"] < found["tau"]["split_half"]["mean"] < found["tau"]["split_half"]["high"]


def test_bands_hold_the_value_and_groups_are_told() -> None:
    found = summarise_curves(*lines_and_tasks(noise=0.8), seed=1)["tasks"]["quiz"]["metrics"]["acc"]
    assert all(point["low"] <= point["value"] <= point["high"] for point in found["points"])
    assert {name: group["items"] for name, group in found["groups"].items()} == {"g0": 40, "g1": 40, "g2": 40}
    together = np.mean([group["values"] for group in found["groups"].values()], axis=0)
    assert together.tolist() == pytest.approx([point["value"] for point in found["points"]])


def test_the_forecast_is_made_from_the_first_half_and_held_against_the_end() -> None:
    found = summarise_curves(*lines_and_tasks(), seed=1, min_gain=0.001)["tasks"]["texts"]["metrics"]
    told, points = found["bits_per_byte"]["forecast"], found["bits_per_byte"]["points"]
    assert told["from_step"] == 50 and told["now"] == points[5]["value"] and told["came"] == points[-1]["value"]
    assert told["points"] == 5 and told["low"] <= told["value"] <= told["high"] and told["inside"]
    assert told["advice"]["gain_probability"] > 0.9 and not told["advice"]["stop"]


def test_the_stop_rule_is_told_with_what_it_would_have_cost() -> None:
    lines, tasks = lines_and_tasks()
    for line in lines[4:]:
        line["tasks"] = lines[4]["tasks"]  # nothing is learnt any more
    told = summarise_curves(lines, tasks, seed=1, min_gain=0.05)["tasks"]["texts"]["metrics"]["bits_per_byte"]["forecast"]
    assert told["stop_rule"]["gain_that_came"] == 0.0 and told["stop_rule"]["gain_probability"] < 0.05


def test_short_curves_have_no_forecast() -> None:
    lines, tasks = lines_and_tasks()
    assert summarise_curves(lines[:5], tasks, seed=1)["tasks"]["texts"]["metrics"]["bits_per_byte"]["forecast"] is None
    one = summarise_curves(lines[:1], tasks, seed=1)["tasks"]["texts"]["metrics"]["bits_per_byte"]
    assert one["tau"]["with_steps"]["tau"] is None and one["forecast"] is None and len(one["points"]) == 1


def test_lines_of_other_items_and_failed_ones_are_left_out_and_told() -> None:
    lines, tasks = lines_and_tasks()
    lines[3]["tasks"]["quiz"]["digest"] = "of other items"
    lines[4]["tasks"]["quiz"] = {"error": "the model's logits are no numbers"}
    found = summarise_curves(lines, tasks, seed=1)
    assert found["of_other_items"] == 1
    assert found["failed"] == [{"task": "quiz", "step": 40, "error": "the model's logits are no numbers"}]
    steps = [point["step"] for point in found["tasks"]["quiz"]["metrics"]["acc"]["points"]]
    assert steps == [step for step in range(0, 10 * STEPS, 10) if step not in (30, 40)]
    assert found["seconds"] == 0.5 * STEPS


def test_the_seed_makes_all_of_it_again() -> None:
    lines, tasks = lines_and_tasks(noise=0.8)
    assert summarise_curves(lines, tasks, seed=1) == summarise_curves(lines, tasks, seed=1)
    assert summarise_curves(lines, tasks, seed=1) != summarise_curves(lines, tasks, seed=2)


def test_rankings_of_models_between_checkpoints() -> None:
    found = tau_of_models([[1, 2, 3], [2, 3, 4], [3, 1, 5]])
    assert found["next"] == pytest.approx([-1 / 3, -1 / 3]) and found["last"] == pytest.approx([1.0, -1 / 3])
    assert tau_of_models([[1, 2], [2, 3]], higher_is_better=False)["mean_next"] == 1.0
    with pytest.raises(ValueError, match="two or more models"):
        tau_of_models([[1, 2, 3]])
