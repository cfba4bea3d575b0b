"""Forecasts of mixes: which domains are taken, what is said of mixes that cannot be forecast, and errors against the peers."""

import json
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pellucid.studies.mixes.forecasts import forecast_mixes
from pellucid.studies.mixes.tables import Group
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
SOURCES = {
    "web.en": {"category": "Web", "language": "en"},
    "web.de": {"category": "Web", "language": "de"},
    "code.en": {"category": "Code", "language": "en"},
    "law.en": {"category": "Law", "language": "en"},
}
# German, code and law differ; web has the rest.
MIXES = {
    "control": (0.0, 0.07, 0.23),
    "mix1": (0.18, 0.07, 0.22),
    "mix2": (0.36, 0.07, 0.23),
    "mix3": (0.54, 0.07, 0.23),
    "mix4": (0.0, 0.05, 0.46),
    "mix5": (0.0, 0.28, 0.23),
}
DE, ALL = Group("language", "de"), Group("all", "all")


def world(make_run: Make, mixes: Mapping[str, tuple[float, float, float]], noise: float = 0.004, seeds: int = 3) -> list[RunResult]:
    """Runs whose German costs 1 + exp(0.8 - 4·share) bits per byte, and whose seeds shift all of their scores."""
    generator = np.random.default_rng(0)
    shift = generator.normal(0, 0.05, seeds)
    runs = []
    for mix, (german, code, law) in mixes.items():
        weights = {"web.en": 1 - german - code - law, "web.de": german, "code.en": code, "law.en": law}
        for seed in range(seeds):
            bits = 1 + np.exp(0.8 - 4 * german) + shift[seed] + generator.normal(0, noise)
            groups = {"language": {"de": float(bits)}, "category": {"Law": float(bits)}}
            runs.append(make_run({"mix": mix}, seed, float(bits), groups, weights={"pretrain": weights}, sources=SOURCES))
    return runs


def test_a_held_out_mix_is_forecast_from_the_others_and_better_than_by_a_straight_line(make_run: Make) -> None:
    found = forecast_mixes(world(make_run, MIXES), "mix", [DE], ["mix2"], 1)
    [group] = found["groups"]
    assert (found["forecast"], found["fitted"]) == (["mix2"], ["control", "mix1", "mix3", "mix4", "mix5"])
    # Five mixes are too few for rows: English, other languages and code have four parameters.
    assert (group["by"], group["parameters"], group["mixes"], group["runs"]) == ("kind", 4, 5, 15)
    [one] = group["forecasts"]
    assert one["inside"] is True and one["law"]["low"] < one["came"] < one["law"]["high"]
    errors = {name: abs(value - one["came"]) for name, value in (("law", one["law"]["value"]), ("linear", one["linear"]))}
    assert errors["law"] < errors["linear"] < abs(one["mean"] - one["came"])
    # Of mixes with 0, 3, 9, 3 and 0 % of German, mix 1 and mix 4 have the text that is most like mix 2's.
    assert set(one["nearest"]) == {"mix1", "mix3"} or set(one["nearest"]) == {"mix1", "mix4"}
    runs = [run for run in world(make_run, MIXES) if run.levels["mix"] in one["nearest"]]
    assert one["neighbours"] == pytest.approx(sum(run.bits_per_byte("language", "de") for run in runs) / len(runs), abs=1e-3)
    summary = found["summary"]
    assert summary["above"] == int(one["came"] > one["law"]["value"])
    assert (summary["count"], summary["inside"], summary["with_interval"]) == (1, 1, 1)
    assert (summary["law"], summary["linear"]) == pytest.approx((errors["law"], errors["linear"]))
    json.dumps(found, allow_nan=False)


def test_with_all_six_mixes_rows_of_the_table_are_taken_and_each_run_is_forecast_from_the_others(make_run: Make) -> None:
    [group] = forecast_mixes(world(make_run, MIXES), "mix", [DE], [], 1)["groups"]
    assert group["by"] == "row" and group["parameters"] == 5
    assert set(group["domains"]) == set(group["t"]) == {"Cultura-x En", "Cultura-x De", "Starcoder", "Others"}
    slopes = group["t"]
    assert slopes["Cultura-x De"] - slopes["Cultura-x En"] == pytest.approx(-4, abs=0.4)
    assert group["c"] == pytest.approx(1, abs=0.15)
    assert group["left_out_run"]["count"] == 18
    assert group["left_out_run"]["law"] < group["left_out_run"]["linear"] < group["left_out_run"]["mean"]
    assert group["residual"] < 0.01


def test_few_mixes_leave_its_own_text_and_the_rest(make_run: Make) -> None:
    four = {name: MIXES[name] for name in ("control", "mix1", "mix3", "mix5")}
    found = forecast_mixes(world(make_run, four), "mix", [DE, ALL], [], 1)
    german, whole = found["groups"]
    assert (german["by"], german["parameters"], german["domains"]) == ("own", 3, ["other text", "de"])
    assert whole["by"] is None and whole["note"].startswith("no law: 4 mixes")


def test_too_few_mixes_get_a_note_and_no_law(make_run: Make) -> None:
    two = {name: MIXES[name] for name in ("control", "mix1", "mix2")}
    found = forecast_mixes(world(make_run, two), "mix", [DE], ["mix2"], 1)
    assert found["groups"][0]["note"].startswith("no law: 2 mixes")
    assert found["groups"][0]["forecasts"] == [] and found["summary"]["count"] == 0


def test_a_mix_that_changes_what_no_other_changes_is_not_forecast(make_run: Make) -> None:
    # Code has one share in all fitted mixes but in no relation to what changes: mix 5 alone has more of it.
    mixes = {
        "a": (0.0, 0.0, 0.2),
        "b": (0.2, 0.0, 0.2),
        "c": (0.4, 0.0, 0.2),
        "d": (0.6, 0.0, 0.2),
        "new": (0.2, 0.5, 0.2),
    }
    found = forecast_mixes(world(make_run, mixes), "mix", [ALL], ["new"], 1)
    [one] = found["groups"][0]["forecasts"]
    assert one["law"] is None and one["inside"] is None and "no forecast" in one["note"]
    assert one["came"] > 0 and found["summary"] == {
        "count": 0,
        "inside": 0,
        "with_interval": 0,
        "above": 0,
        "law": None,
        "linear": None,
        "neighbours": None,
        "mean": None,
    }


def test_missing_runs_and_unknown_sources_are_told(make_run: Make) -> None:
    runs = world(make_run, {name: MIXES[name] for name in ("control", "mix1")})
    assert forecast_mixes(runs, "mix", [DE], ["mix5"], 1)["notes"] == [
        "mix5 was to be forecast and has no run that came to its end."
    ]
    unknown = [make_run({"mix": "control"}, 1, 2.0, weights={"pretrain": {"a": 1.0}})]
    told = forecast_mixes(unknown, "mix", [DE], [], 1)
    assert told["groups"] == [] and "not known" in told["notes"][0]


def test_seeds_that_have_not_all_mixes_are_fitted_as_they_are(make_run: Make) -> None:
    runs = world(make_run, MIXES)[:-1]
    [group] = forecast_mixes(runs, "mix", [DE], [], 1)["groups"]
    # What seeds share is noise then.
    assert group["residual"] > 0.01 and group["runs"] == 17
