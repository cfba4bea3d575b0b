import math

import numpy as np
import pytest

from pellucid.evals.paired import holm
from pellucid.studies.batch_size.neighbours import Level, compare_neighbours
from pellucid.studies.least_squares import scipy_part


def levels(log_steps: dict[int, list[float]]) -> list[Level]:
    return [Level(str(batch), batch, {at: math.exp(one) for at, one in enumerate(of)}) for batch, of in log_steps.items()]


@pytest.mark.parametrize("of_target", [0.0, 0.05, 0.2])
def test_intervals_hold_the_true_ratio_and_equal_batches_are_seldom_told_apart(of_target: float) -> None:
    """Runs have noise of 5 %, the targets of seeds less, as much, or more; batches 2 and 3 need equally many steps."""
    generator, draws = np.random.default_rng(0), 400
    law = {1: 0.0, 2: -0.3, 3: -0.3, 4: -0.4}
    truth = [math.exp(law[more] - law[less]) for less, more in ((1, 2), (2, 3), (3, 4))]
    covered, alarms = np.zeros(3), 0
    for _ in range(draws):
        target_S = generator.normal(0, of_target, 3)
        log_steps = {
            batch: [5 + add + (0.0 if batch == 1 else target + generator.normal(0, 0.05)) for target in target_S]
            for batch, add in law.items()
        }
        rows = compare_neighbours(levels(log_steps), "1")
        covered += [row["low"] <= true <= row["high"] for row, true in zip(rows, truth, strict=True)]
        alarms += rows[1]["p"] < 0.05
    # Of 400 draws at 5 %: a binomial has 31 or fewer with p = 0.99, 9 or more with p = 0.997. The freedom of the baseline's pair is
    # itself estimated, and rounded down.
    assert all(9 <= draws - inside <= 31 for inside in covered[1:])
    assert 9 <= alarms <= 31
    assert 0.92 * draws <= covered[0] <= 0.99 * draws


def test_two_batch_sizes_are_students_paired_test_of_logs_beside_the_baseline() -> None:
    log_steps = {1: [5.0] * 4, 2: [4.6, 4.9, 4.7, 4.75], 3: [4.5, 4.85, 4.5, 4.7]}
    first, second = compare_neighbours(levels(log_steps), "1")
    stats = scipy_part("stats")
    paired = stats.ttest_rel(log_steps[3], log_steps[2])
    ends = paired.confidence_interval(0.95)
    assert second["p"] == pytest.approx(paired.pvalue) and (second["less"], second["more"], second["runs"]) == ("2", "3", 4)
    assert (second["low"], second["high"]) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    assert second["ratio"] == pytest.approx(math.exp(np.mean(log_steps[3]) - np.mean(log_steps[2])))
    log_LB = np.array([log_steps[2], log_steps[3]])
    spread = math.sqrt(log_LB.var(axis=1, ddof=1).mean())
    # Satterthwaite's, of two mean squares: what blocks vary by, with 3 degrees of freedom, and the rest, with 3 more.
    block, rest = 2 * log_LB.mean(axis=0).var(ddof=1), (log_LB[1] - log_LB[0]).var(ddof=1) / 2
    freedom = (block + rest) ** 2 / (block**2 / 3 + rest**2 / 3)
    assert 3 < freedom < 4
    reach = stats.t.ppf(0.975, 3) * spread / 2
    middle = np.mean(log_steps[2]) - 5
    assert (first["low"], first["high"]) == pytest.approx((math.exp(middle - reach), math.exp(middle + reach)))
    assert [first["p_holm"], second["p_holm"]] == pytest.approx(holm([first["p"], second["p"]]))


def test_shared_targets_tell_apart_what_overlapping_intervals_do_not() -> None:
    """Each seed's own target moves all of its runs alike, by more than batches differ."""
    target_S = (-0.2, 0.0, 0.2)
    small = {2: (0.004, -0.004, 0.0), 3: (-0.003, 0.0, 0.003), 4: (0.0, 0.002, -0.002)}
    law = {2: -0.3, 3: -0.4, 4: -0.3}
    log_steps = {1: [5.0] * 3} | {
        batch: [5 + law[batch] + target + add for target, add in zip(target_S, of, strict=True)] for batch, of in small.items()
    }
    spread = np.std([*log_steps[2]], ddof=1)
    reach = scipy_part("stats").t.ppf(0.975, 6) * spread / math.sqrt(3)
    assert 2 * reach > 0.1  # intervals of levels overlap
    rows = compare_neighbours(levels(log_steps), "1")
    assert [row["verdict"] for row in rows[1:]] == ["fewer", "more"]
    assert rows[1]["ratio"] == pytest.approx(math.exp(-0.1))


def test_one_seed_and_levels_that_did_not_get_there_are_not_compared() -> None:
    one = compare_neighbours(levels({1: [5.0], 2: [4.7], 3: [4.5]}), "1")
    assert [row["ratio"] for row in one] == pytest.approx([math.exp(-0.3), math.exp(-0.2)])
    assert all(row["low"] is row["p"] is row["p_holm"] is None and row["verdict"] == "not compared" for row in one)
    known = levels({1: [5.0] * 2, 2: [4.7, 4.8], 3: [4.5, 4.55]})
    rows = compare_neighbours([known[0], known[1]._replace(steps={}), known[2]], "1")
    assert [(row["ratio"], row["runs"], row["verdict"]) for row in rows] == [(None, 0, "not compared")] * 2
    apart = [known[0], known[1]._replace(steps={0: 100.0}), known[2]._replace(steps={1: 90.0})]
    assert compare_neighbours(apart, "1")[1]["ratio"] is None
    assert compare_neighbours(known[:1], "1") == []
