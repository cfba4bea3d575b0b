"""The report's findings on runs in which they hold, in which they do not, and in which nothing can be told."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from pellucid.studies.mixes.findings import findings_of
from pellucid.studies.mixes.tables import groups_of, table_of
from pellucid.studies.results import RunResult

Make = Callable[..., RunResult]
LANGUAGES = ("de", "es", "fr", "it", "pt", "nl")
SOURCES = {
    "law.en": {"category": "Law", "language": "en"},
    "code.en": {"category": "Code", "language": "en"},
    "book.en": {"category": "Books", "language": "en"},
}
SHARE = {"control": 0.0, "mix1": 3.0, "mix2": 6.0, "mix3": 9.0, "mix4": 0.0, "mix5": 0.0}


def studied(
    make_run: Make, gain: Callable[[float], float], law: Mapping[str, float], noise: float = 0.005, seeds: int = 3
) -> dict[str, dict[str, Any]]:
    """Findings of a world in which a language gains `gain(percent)`, and English text about law changes by `law[mix]`."""
    generator = np.random.default_rng(0)
    runs = []
    for mix, share in SHARE.items():
        for seed in range(seeds):

            def drawn(value: float, common: float = 0.1 * seed) -> float:
                return value + common + generator.normal(0, noise)

            english = {"law.en": drawn(2 + law.get(mix, 0.0)), "code.en": drawn(1.5), "book.en": drawn(1.8 - (mix == "mix4"))}
            groups = {
                "language": {name: drawn(4 - gain(share)) for name in LANGUAGES} | {"en": drawn(2 + law.get(mix, 0.0))},
                "category": {"Code": english["code.en"], "Academic": drawn(1.0), "Books": english["book.en"]},
                "source": english,
            }
            runs.append(make_run({"mix": mix}, seed, drawn(3.0), groups, sources=SOURCES))
    languages = table_of(runs, "mix", groups_of(runs, "language"), "control")
    return {one["name"]: one for one in findings_of(runs, "mix", languages)}


def test_where_the_findings_hold_all_agree(make_run: Make) -> None:
    found = studied(make_run, lambda share: min(share, 6) / 10, {"mix5": 0.1, "mix4": -0.1})
    assert {name: one["verdict"] for name, one in found.items()} == {
        "own_language": "agrees",
        "saturation": "agrees",
        "code": "agrees",
        "upsampling": "agrees",
    }
    assert len(found["own_language"]["rows"]) == 18
    first, second = found["saturation"]["rows"]
    assert first["low"] <= -0.6 <= first["high"] and second["low"] <= 0 <= second["high"]
    assert found["code"]["rows"][0]["what"] == "English other than code"


def test_where_they_do_not_hold_all_contradict(make_run: Make) -> None:
    found = studied(make_run, lambda share: share / 10 if share != 3 else -0.2, {"mix5": -0.1, "mix4": 0.1})
    assert {one["verdict"] for one in found.values()} == {"contradicts"}


def test_a_gain_beyond_that_is_just_modest_is_not_told(make_run: Make) -> None:
    # A quarter of what came before: right where modest ends.
    found = studied(make_run, lambda share: min(share, 6) / 10 + max(0.0, share - 6) * 0.05, {})
    assert found["saturation"]["verdict"] == "cannot be told"
    assert "25 % of what they gain up to 6 %" in found["saturation"]["why"]


def test_where_nothing_changes_nothing_can_be_told(make_run: Make) -> None:
    found = studied(make_run, lambda share: 0.0, {}, noise=0.05)
    assert {one["verdict"] for one in found.values()} == {"cannot be told"}
    assert "no sure gain" in found["saturation"]["why"]


def test_one_seed_gives_numbers_and_no_verdict(make_run: Make) -> None:
    found = studied(make_run, lambda share: share / 10, {"mix5": 0.1}, seeds=1)
    assert {one["verdict"] for one in found.values()} == {"cannot be told"}
    assert found["code"]["rows"][0]["difference"] == pytest.approx(0.05, abs=0.05)
    assert found["code"]["rows"][0]["low"] is None


def test_printed_scores_stand_beside_and_say_what_the_print_does(make_run: Make) -> None:
    found = studied(make_run, lambda share: share / 10, {})
    assert found["saturation"]["printed"]["Okapi"]["mix2"] == 35.93
    assert "Avg −0.10" in found["code"]["why"] and "LAMBADA +0.47" in found["code"]["why"]
    assert "Avg +0.65" in found["upsampling"]["why"]


def test_only_findings_whose_mixes_there_are_are_asked(make_run: Make) -> None:
    runs = [make_run({"mix": level}, 1, 2.0, {"language": {"en": 2.0}}) for level in ("control", "mix4")]
    assert [one["name"] for one in findings_of(runs, "mix", [])] == ["upsampling"]
    assert findings_of([], "mix", []) == []
