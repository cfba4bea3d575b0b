import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pellucid.studies.least_squares import scipy_part
from pellucid.studies.scaling.loss_law import LossLaw, Rung, fit_loss_law, is_tied, line_at, which_law

FLOPS = 1e12 * 2.5 ** np.arange(5)


def loss(flops: float, floor: float = 1.2, term: float = 0.8, exponent: float = 0.3) -> float:
    return floor + term * (flops / FLOPS[3]) ** -exponent


def tied(flops: float, losses: Sequence[float] = ()) -> Rung:
    parameters = math.sqrt(flops / 6 / 4)
    return Rung(f"{flops:.1e}", parameters, 4 * parameters, flops, tuple(losses))


def drawn(generator: np.random.Generator, count: int, seeds: int, spread: float, **law: float) -> list[Rung]:
    return [tied(one, loss(one, **law) * np.exp(generator.normal(0, spread, seeds))) for one in FLOPS[:count]]


def law_of(rungs: Sequence[Rung], resamples: int = 200, seed: int = 1) -> LossLaw:
    found = fit_loss_law(rungs, resamples=resamples, seed=seed)
    assert found is not None
    return found


def test_the_law_that_is_fitted_is_the_one_that_the_runs_identify() -> None:
    grid = [Rung("", n, d, 6 * n * d, (2.0,)) for n in (1e6, 2e6, 4e6) for d in (1e7, 3e7, 9e7)]
    ladder = [tied(one, [2.0]) for one in FLOPS]
    assert which_law(ladder[:1])[0] is None
    assert which_law(ladder[:2])[0] == "line"
    kind, why = which_law(ladder[:3])
    assert kind == "floor"
    assert "nothing is left to test it" in why
    assert which_law(ladder)[0] == "floor"
    assert which_law(grid)[0] == "full"
    assert which_law(grid[:4])[0] == "floor"
    assert "wrong where tokens by parameter differ" in which_law(grid[:4])[1]


def test_sizes_are_tied_where_tokens_follow_parameters_by_any_power_or_not_at_all() -> None:
    for power in (0.0, 0.5, 1.0, 1.3):
        assert is_tied([Rung("", n, 20 * n**power * (1.01 if n == 2e6 else 1), 1.0) for n in (1e6, 2e6, 4e6, 8e6)])
    assert not is_tied([Rung("", n, d, 1.0) for n, d in ((1e6, 2e7), (2e6, 1e7), (4e6, 4e7))])


def test_known_parameters_lie_in_their_intervals() -> None:
    generator, inside = np.random.default_rng(3), []
    for draw in range(20):
        rows = {row["name"]: row for row in law_of(drawn(generator, 4, 3, 0.004), 100, draw).to_json()["parameters"]}
        assert list(rows) == ["E", "A", "a"]
        inside.append(rows["E"]["low"] <= 1.2 <= rows["E"]["high"] and rows["a"]["low"] <= 0.3 <= rows["a"]["high"])
    # 95 % would be 19 of 20; 16 or fewer have a probability of 0.016.
    assert sum(inside) >= 17


@pytest.mark.parametrize(("floor", "term", "exponent"), [(1.2, 0.8, 0.3), (0.0, 2.0, 0.15)])
def test_a_new_run_lies_in_the_forecast_interval_about_19_times_in_20(floor: float, term: float, exponent: float) -> None:
    generator, inside, of_law = np.random.default_rng(7), 0, {"floor": floor, "term": term, "exponent": exponent}

    def off_law(rung: Rung) -> Rung:
        by = math.exp(generator.normal(0, 0.004))
        return replace(rung, losses=tuple(by * one for one in rung.losses))

    for draw in range(60):
        rungs = [off_law(rung) for rung in drawn(generator, 5, 3, 0.004, **of_law)]
        made = law_of(rungs[:4], 100, draw).forecast(tied(FLOPS[4]))
        assert made.low is not None and made.high is not None
        inside += made.low <= rungs[4].losses[0] <= made.high
    # On 400 ladders it was 0.97 and 0.96: rungs scatter about the law here as seeds do about a rung. On the law itself it was 1.00,
    # and 0.88 where rungs scatter three times as much. Of 60 at 0.95, 52 or fewer have a probability of 0.011.
    assert inside >= 53


def test_the_interval_of_a_run_holds_that_of_the_law_and_both_widen_with_the_distance() -> None:
    law = law_of(drawn(np.random.default_rng(0), 4, 3, 0.004))
    widths = []
    for factor in (1.0, 3.0, 10.0):
        made = law.forecast(tied(FLOPS[3] * factor))
        assert made.low is not None and made.high is not None and made.law_low is not None and made.law_high is not None
        assert made.law_low < made.value < made.law_high
        assert made.low <= made.law_low * 1.001
        assert made.high >= made.law_high * 0.999
        widths.append(made.high - made.low)
    assert widths == sorted(widths)


def test_a_ladder_on_a_straight_line_has_its_floor_at_the_bound_and_forecasts_as_the_line_does() -> None:
    rungs = [tied(one, [math.exp(0.7 - 0.15 * math.log(one / FLOPS[3])) * (1 + 1e-4 * k) for k in (-1, 0, 1)]) for one in FLOPS[:4]]
    law = law_of(rungs)
    assert law.forecast(tied(FLOPS[4])).value == pytest.approx(line_at(rungs, tied(FLOPS[4])), rel=1e-3)
    assert line_at(rungs, tied(FLOPS[4])) == pytest.approx(math.exp(0.7 - 0.15 * math.log(2.5)), rel=1e-4)
    bent = [tied(one, [math.exp(0.7 - 0.01 * math.log(one / FLOPS[0]) ** 2)] * 2) for one in FLOPS[:4]]
    floor = law_of(bent).to_json()["parameters"][0]
    assert floor["at_bound"] == "least"
    assert floor["at_bound_share"] > 0.2


def test_rungs_off_the_law_are_found_by_the_f_test_and_widen_the_interval() -> None:
    seeds = (-0.002, 0.0, 0.002)
    off = (0.02, -0.03, 0.02, -0.01)
    straight = [tied(one, [loss(one) * math.exp(seed) for seed in seeds]) for one in FLOPS[:4]]
    crooked = [tied(one, [loss(one) * math.exp(seed + by) for seed in seeds]) for one, by in zip(FLOPS[:4], off, strict=True)]
    calm, wild = law_of(straight), law_of(crooked)
    said, told = calm.to_json(), wild.to_json()
    assert said["rung_spread_percent"] == 0
    assert said["off_law_p"] > 0.5
    assert told["seed_spread_percent"] == pytest.approx(0.2)
    # One rung is left over: its square is what rungs scatter, and a third of the seeds' variance is taken off.
    means_G = np.array([np.mean(np.log(rung.losses)) for rung in wild.rungs])
    left = float(np.sum((means_G - np.log(wild.fitted.at(wild.sizes(wild.rungs))[0])) ** 2))
    assert told["rung_spread_percent"] == pytest.approx(100 * math.sqrt(left - 0.002**2 / 3), rel=1e-6)
    assert told["off_law_p"] == pytest.approx(scipy_part("stats").f.sf(3 * left / 0.002**2, 1, 8))
    assert told["off_law_p"] < 0.001
    narrow, wide = calm.forecast(tied(FLOPS[4])), wild.forecast(tied(FLOPS[4]))
    assert narrow.low is not None and narrow.high is not None and wide.low is not None and wide.high is not None
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_one_seed_a_rung_has_intervals_only_from_what_rungs_scatter() -> None:
    generator = np.random.default_rng(2)
    several = law_of(drawn(generator, 5, 1, 0.004))
    assert several.seed_spread is None
    assert several.forecast(tied(FLOPS[4])).low is not None
    exact = law_of(drawn(generator, 3, 1, 0.004))
    made = exact.forecast(tied(FLOPS[4]))
    assert (made.low, made.high, made.law_low) == (None, None, None)
    assert made.value > 0
    assert exact.to_json()["resamples"] == 0
    assert all(row["low"] is None for row in exact.to_json()["parameters"])


def test_the_law_of_parameters_and_tokens_forecasts_what_a_law_of_compute_cannot() -> None:
    def truth(n: float, d: float) -> float:
        return 1.2 + 30 / n**0.3 + 200 / d**0.35

    rungs = [
        Rung("", n, d, 6 * n * d, tuple(truth(n, d) * (1 + 0.001 * k) for k in (-1, 0, 1)))
        for n in (1e6, 2e6, 4e6)
        for d in (1e7, 3e7, 9e7)
    ]
    law = law_of(rungs)
    assert law.kind == "full"
    lopsided = Rung("", 1e6, 1e9, 6e15)
    made = law.forecast(lopsided)
    assert made.value == pytest.approx(truth(1e6, 1e9), rel=0.005)
    assert made.low is not None and made.high is not None
    assert made.low < truth(1e6, 1e9) < made.high
    assert [row["name"] for row in law.to_json()["parameters"]] == ["E", "A", "a", "B", "b"]


def test_the_same_seed_gives_the_same_law_and_rungs_without_losses_do_not_count() -> None:
    rungs = drawn(np.random.default_rng(5), 4, 3, 0.004)
    assert law_of(rungs).to_json() == law_of([*rungs, tied(1e15)]).to_json()
    assert fit_loss_law([rungs[0], tied(1e15)]) is None
