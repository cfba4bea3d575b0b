"""Tables of groups: p over the whole table, and English text read as groups of its own."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from pellucid.evals.paired import holm
from pellucid.studies.effects import effects_of
from pellucid.studies.mixes.tables import Group, english_groups, english_without, groups_of, table_of
from pellucid.studies.results import RunResult, Scores

Make = Callable[..., RunResult]
SOURCES = {
    "law.en": {"category": "Law", "language": "en"},
    "code.en": {"category": "Code", "language": "en"},
    "law.de": {"category": "Law", "language": "de"},
}


def noise_only(make_run: Make, draw: int) -> list[RunResult]:
    generator = np.random.default_rng(draw)
    return [
        make_run({"x": level}, seed, 2.0, {"language": {name: 2 + generator.normal(0, 0.02) for name in ("de", "en", "fr")}})
        for level in ("a", "b", "c")
        for seed in range(3)
    ]


def test_p_of_a_table_is_corrected_over_all_its_groups_and_levels(make_run: Make) -> None:
    runs = noise_only(make_run, 0)
    tables = table_of(runs, "x", groups_of(runs, "language"), "a")
    assert [one["group"] for one in tables] == ["de", "en", "fr"]
    raw = [
        row["p"] for group in ("de", "en", "fr") for row in effects_of(runs, "x", Group("language", group).bits, "a")["rows"][1:]
    ]
    assert [row["p_holm"] for one in tables for row in one["rows"][1:]] == holm(raw)
    assert all((row["verdict"] == "cannot be told apart") == (row["p_holm"] >= 0.05) for one in tables for row in one["rows"][1:])
    assert tables[0]["rows"][1]["seeds"] == [0, 1, 2]
    assert (tables[0]["bytes"], tables[0]["documents"]) == (10_000, 7)


def test_false_alarms_of_a_whole_table_stay_rare(make_run: Make) -> None:
    alarms = 0
    for draw in range(100):
        runs = noise_only(make_run, draw)
        rows = [row for one in table_of(runs, "x", groups_of(runs, "language"), "a") for row in one["rows"][1:]]
        alarms += any(row["verdict"] in ("better", "worse") for row in rows)
    # 5 % of 100; a binomial has 13 or fewer with p = 0.999.
    assert alarms <= 13


def test_english_text_by_category_is_pooled_from_its_sources(make_run: Make) -> None:
    run = make_run({"x": "a"}, 1, 2.0, {"source": {"law.en": 1.0, "code.en": 3.0, "law.de": 9.0}}, sources=SOURCES)
    assert {group.name: group.bits(run) for group in english_groups([run])} == pytest.approx({"Law": 1.0, "Code": 3.0})
    without = english_without([run], ("Code",))
    assert without is not None and without.bits(run) == pytest.approx(1.0)
    assert math.isnan(without.bits(make_run({"x": "a"}, 1, 2.0)))
    assert english_without([run], ("Code", "Law")) is None
    both = Group("english", "both", ("law.en", "code.en"))
    assert both.scores(run) == Scores(pytest.approx(4 * math.log(2) * 10_000), 20_000, 14)


def test_there_is_no_such_table_where_sources_are_not_known_or_all_is_english(make_run: Make) -> None:
    assert english_groups([make_run({"x": "a"}, 1, 2.0)]) == []
    english = {name: of for name, of in SOURCES.items() if of["language"] == "en"}
    assert english_groups([make_run({"x": "a"}, 1, 2.0, sources=english)]) == []
