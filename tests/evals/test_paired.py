"""Paired tests against counting all cases, and what must not be compared."""

import itertools
import math
import random

import numpy as np
import pytest

from pellucid.evals.paired import Items, Stratum, are_independent, compare_items, compare_strata, holm, mean_of_strata, verdict
from pellucid.evals.results import Record


def items(values: list[float], metric: str = "acc", prompt: str = "p") -> Items:
    return {str(number): Record("t", str(number), {metric: value}, prompt=prompt) for number, value in enumerate(values)}


def ratios(pairs: list[tuple[float, float]]) -> Items:
    return {str(number): Record("t", str(number), ratios={"bpb": pair}) for number, pair in enumerate(pairs)}


def every_sign(differences: list[float]) -> float:
    """The exact p of the sign-flip test: all assignments, counted."""
    sums = [
        abs(sum(map(lambda sign, value: sign * value, signs, differences)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(value >= abs(sum(differences)) - 1e-9 for value in sums) / len(sums)


def binomial(only_a: int, only_b: int) -> float:
    count = only_a + only_b
    return min(1.0, 2 * sum(math.comb(count, k) for k in range(min(only_a, only_b) + 1)) / 2**count)


def test_right_and_wrong_answers_are_tested_by_mcnemar() -> None:
    a, b = [1.0] * 12 + [0.0] * 8 + [1.0] * 30, [0.0] * 12 + [1.0] * 8 + [1.0] * 30
    found = compare_items(items(a), items(b), "acc", 1)
    assert (found["only_a"], found["only_b"], found["items"], found["test"]) == (12, 8, 50, "mcnemar")
    assert found["p"] == pytest.approx(binomial(12, 8), rel=1e-9)
    assert found["value"] == pytest.approx(4 / 50) and found["low"] < found["value"] < found["high"]


def test_grades_are_tested_by_signs() -> None:
    rng = random.Random(1)
    a, b = [rng.uniform(1, 10) for _ in range(12)], [rng.uniform(1, 8) for _ in range(12)]
    found = compare_items(items(a, "grade"), items(b, "grade"), "grade", 1)
    assert found["test"] == "signs" and found["only_a"] is None
    assert found["p"] == pytest.approx(every_sign([one - two for one, two in zip(a, b, strict=True)]), abs=0.02)


def test_ratios_over_the_same_bytes_are_compared_and_others_not() -> None:
    rng = random.Random(2)
    bytes_ = [rng.randint(5, 50) for _ in range(12)]
    a, b = ([(rng.uniform(0.5, 1.5) * size, float(size)) for size in bytes_] for _ in range(2))
    found = compare_items(ratios(a), ratios(b), "bpb", 1)
    assert found["value"] == pytest.approx((sum(x for x, _ in a) - sum(x for x, _ in b)) / sum(bytes_))
    assert found["p"] == pytest.approx(every_sign([one[0] - two[0] for one, two in zip(a, b, strict=True)]), abs=0.02)
    other = compare_items(ratios(a), ratios([(top, bottom + 1) for top, bottom in b]), "bpb", 1)
    assert other["value"] is None and "different units" in other["reason"]


def test_a_few_items_with_a_missing_turn_are_left_out() -> None:
    a, b = [(12.0, 2.0)] * 20, [(10.0, 2.0)] * 19 + [(6.0, 1.0)]
    found = compare_items(ratios(a), ratios(b), "bpb", 1)
    assert found["items"] == 19 and found["value"] == 1.0
    b[:2] = [(6.0, 1.0)] * 2
    assert compare_items(ratios(a), ratios(b), "bpb", 1)["value"] is None


def test_only_items_that_were_shown_alike_are_compared() -> None:
    a, b = dict(items([1.0, 0.0, 1.0, 1.0])), dict(items([0.0, 0.0, 1.0, 0.0]))
    b["3"] = Record("t", "3", {"acc": 0.0}, prompt="another")
    a["4"] = Record("t", "4", {"acc": 0.0})
    found = compare_items(a, b, "acc", 1)
    assert (found["items"], found["different_prompts"], found["only_a"]) == (3, 1, 1)
    nothing = compare_items(items([1.0, 0.0]), items([1.0, 0.0], prompt="another"), "acc", 1)
    assert nothing["value"] is None and nothing["p"] is None
    assert nothing["reason"] == "all 2 common items were shown with different prompts"
    assert compare_items({}, items([1.0]), "acc", 1)["reason"] == "no item in common"


def test_the_order_in_which_items_were_scored_does_not_matter() -> None:
    rng = random.Random(3)
    a, b = (items([float(rng.random() < 0.5) for _ in range(40)]) for _ in range(2))
    turned = dict(reversed(list(a.items())))
    assert compare_items(a, b, "acc", 1) == compare_items(turned, b, "acc", 1)


def test_an_average_of_tasks_has_the_error_of_its_parts() -> None:
    rng = np.random.default_rng(4)
    parts = [rng.random(size) for size in (40, 160, 90)]
    found = mean_of_strata([Stratum(part, np.ones_like(part), 1 / 3) for part in parts], 1)
    assert found["value"] == pytest.approx(np.mean([part.mean() for part in parts])) and found["items"] == 290
    expected = np.sqrt(sum(part.var() / len(part) for part in parts)) / 3
    assert found["stderr"] == pytest.approx(expected, rel=0.06)
    assert found["low"] < found["value"] < found["high"]
    assert mean_of_strata([Stratum(np.ones(1), np.ones(1), 1.0)], 1)["stderr"] is None


def test_averages_are_compared_task_by_task() -> None:
    rng = random.Random(5)
    tasks = [[float(rng.random() < 0.5) for _ in range(size)] for size in (5, 7)]
    better = [[float(value or rng.random() < 0.5) for value in task] for task in tasks]
    a, b = ([(items(task), "acc", 0.5) for task in one] for one in (better, tasks))
    found = compare_strata(a, b, 1)
    differences = [[x - y for x, y in zip(one, two, strict=True)] for one, two in zip(better, tasks, strict=True)]
    assert found["value"] == pytest.approx(sum(sum(part) / len(part) for part in differences) / 2)
    weighted = [value / len(part) / 2 for part in differences for value in part]
    assert found["p"] == pytest.approx(every_sign(weighted), abs=0.02)
    missing = compare_strata(a, [b[0], (items([1.0] * 7, prompt="another"), "acc", 0.5)], 1)
    assert missing["value"] is None and "no item" in missing["reason"] and missing["different_prompts"] == 7


def test_holm_is_holms() -> None:
    # Worked by hand: 0.01·4, then 0.02·3, then max(0.06, 0.03·2), then 0.5.
    assert holm([0.02, 0.5, 0.01, 0.03]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.4, None, 0.6]) == [0.8, None, 0.8]
    assert holm([None]) == [None] and holm([]) == []


def test_holm_keeps_false_alarms_of_a_whole_table_under_its_level() -> None:
    rng = np.random.default_rng(6)
    alarms = sum(any(p is not None and p < 0.05 for p in holm(list(rng.random(6)))) for _ in range(2000))
    # Four standard deviations above 5 % of 2000; uncorrected it would be 26 %.
    assert alarms < 100 + 4 * (2000 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize(
    ("difference", "p", "metric", "words"),
    [
        (0.1, 0.01, "acc", "better"),
        (-0.1, 0.01, "acc", "worse"),
        (-0.1, 0.01, "bits_per_byte", "better"),
        (0.1, 0.05, "acc", "cannot be told apart"),
        (None, None, "acc", "not compared"),
        (0.1, 0.01, "form_decides", "higher"),
        (-0.1, 0.01, "seconds", "lower"),
        (-0.1, 0.5, "seconds", "cannot be told apart"),
    ],
)
def test_verdicts_are_words(difference: float | None, p: float | None, metric: str, words: str) -> None:
    assert verdict(difference, p, metric) == words


def test_items_that_were_cut_differently_are_not_compared() -> None:
    a, b = dict(items([1.0, 0.0, 1.0])), dict(items([0.0, 0.0, 1.0]))
    a["0"] = Record("t", "0", {"acc": 1.0}, prompt="p", dropped_tokens=7)
    found = compare_items(a, b, "acc", 1)
    assert (found["items"], found["different_prompts"], found["only_a"]) == (2, 1, 0)


def needles(by_seed: list[float], cells: int) -> Items:
    """Every cell of a seed has the seed's value."""
    names = [(f"500/{cell}/{seed}", value) for seed, value in enumerate(by_seed) for cell in range(cells)]
    return {name: Record("needle", name, {"exact": value}, group="500") for name, value in names}


def test_needles_of_one_seed_count_as_one() -> None:
    a, b = [1.0, 1.0, 1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    found = compare_items(needles(a, 20), needles(b, 20), "exact", 1)
    assert found["items"] == 120 and found["test"] == "signs" and (found["only_a"], found["only_b"]) == (80, 0)
    assert found["p"] == pytest.approx(every_sign([x - y for x, y in zip(a, b, strict=True)]), abs=0.02)
    alone = compare_items(items(a), items(b), "acc", 1)
    assert found["stderr"] == pytest.approx(alone["stderr"], rel=0.1) and found["value"] == pytest.approx(4 / 6)
    assert not are_independent(needles(a, 2)) and are_independent(items(a))


def languages(by_question: list[float], names: tuple[str, ...]) -> Items:
    found = [(f"{name}/{number}", name, value) for name in names for number, value in enumerate(by_question)]
    return {item: Record("arc_multilingual", item, {"acc": value}, group=name) for item, name, value in found}


def test_translations_of_a_question_make_no_error_smaller() -> None:
    rng = random.Random(8)
    a, b = ([float(rng.random() < 0.5) for _ in range(200)] for _ in range(2))
    one = compare_items(languages(a, ("de",)), languages(b, ("de",)), "acc", 1)
    assert one["test"] == "mcnemar" and one["reason"] is None and one["p"] is not None
    seven = compare_items(languages(a, ("de", "es", "fr", "it")), languages(b, ("de", "es", "fr", "it")), "acc", 1)
    assert seven["p"] is None and seven["test"] is None and "translations" in seven["reason"]
    assert seven["value"] == pytest.approx(one["value"]) and seven["items"] == 800
    assert seven["stderr"] == pytest.approx(one["stderr"], rel=0.05)
    parts_a, parts_b = ([(languages(values, (name,)), "acc", 0.25) for name in ("de", "es", "fr", "it")] for values in (a, b))
    average = compare_strata(parts_a, parts_b, 1)
    assert average["p"] is None and "translations" in average["reason"]
    assert average["stderr"] == pytest.approx(one["stderr"], rel=0.05)
    assert compare_strata(parts_a[:1], parts_b[:1], 1)["p"] is not None


def test_resamples_without_a_denominator_are_left_out() -> None:
    bottom = np.array([0.0, 0.0, 1.0])
    found = mean_of_strata([Stratum(np.array([0.0, 0.0, 1.0]), bottom, 1.0)], 1)
    assert found["value"] == 1.0 and found["stderr"] == 0.0 and (found["low"], found["high"]) == (1.0, 1.0)
