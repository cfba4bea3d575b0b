"""Shares of what a run read."""

from collections.abc import Callable

import pytest

from pellucid.studies.mixes.shares import NO_ROW, knows_sources, label_by, level_shares, source_shares
from pellucid.studies.results import RunResult, Stage

Make = Callable[..., RunResult]
SOURCES = {
    "web.en": {"category": "Web", "language": "en"},
    "web.de": {"category": "Web", "language": "de"},
    "code": {"category": "Code", "language": None},
    "wiki.de": {"category": "Wiki", "language": "de"},
}


def stage(name: str, steps: int) -> Stage:
    return Stage(name, steps, 100, 10, {}, (), (), (), ())


def test_stages_count_by_their_tokens(make_run: Make) -> None:
    weights = {"trunk": {"web.en": 1.0, "code": 1.0}, "end": {"code": 3.0, "web.en": 0.0}}
    run = make_run({"x": "a"}, 1, 2.0, stages=(stage("trunk", 30), stage("end", 10)), weights=weights)
    assert source_shares(run) == pytest.approx({"web.en": 0.375, "code": 0.625})


def test_a_run_without_weights_has_no_shares_and_knows_no_sources(make_run: Make) -> None:
    assert source_shares(make_run({}, 1, 2.0)) == {}
    assert not knows_sources([])
    assert not knows_sources([make_run({}, 1, 2.0, sources=SOURCES)])
    assert knows_sources([make_run({}, 1, 2.0, weights={"a": {"code": 1.0, "lost": 0.0}}, sources=SOURCES)])
    assert not knows_sources([make_run({}, 1, 2.0, weights={"a": {"code": 1.0, "lost": 0.1}}, sources=SOURCES)])


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("source", ("web.en", "web.de", "code", "wiki.de", "lost")),
        ("category", ("Web", "Web", "Code", "Wiki", "unknown")),
        ("language", ("en", "de", "unknown", "de", "unknown")),
        ("row", ("Cultura-x En", "Cultura-x De", "Starcoder", NO_ROW, NO_ROW)),
        ("kind", ("English", "other languages", "Code", "other languages", "other languages")),
    ],
)
def test_a_source_is_put_under_what_it_is_asked_for(by: str, labels: tuple[str, ...]) -> None:
    assert tuple(map(label_by(SOURCES, by), ("web.en", "web.de", "code", "wiki.de", "lost"))) == labels


def test_shares_of_a_level_are_of_its_finished_runs_and_all_levels_name_the_same_labels(make_run: Make) -> None:
    runs = [
        make_run({"x": "a"}, 1, 2.0, weights={"t": {"web.en": 1.0, "web.de": 1.0}}),
        make_run({"x": "a"}, 2, 2.0, weights={"t": {"code": 1.0}}, outcome="failed"),
        make_run({"x": "b"}, 1, 2.0, weights={"t": {"code": 2.0}}),
        make_run({"x": "c"}, 1, 2.0, weights={"t": {"code": 2.0}}, outcome="failed"),
    ]
    assert level_shares(runs, "x", label_by(SOURCES, "category")) == {
        "a": {"Web": 1.0, "Code": 0.0},
        "b": {"Web": 0.0, "Code": 1.0},
    }
