from collections.abc import Callable
from dataclasses import replace

from pellucid.recipe.study import SchedulesAnalysis
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import cells_of, last_stage, planned_tokens, whole_stage

Make = Callable[..., RunResult]
CONFIG = SchedulesAnalysis(length="length")


def test_lengths_are_ordered_by_their_tokens_and_schedules_by_appearance(schedule_run: Make) -> None:
    runs = [schedule_run(name, length, 1, 2.0) for name in ("rsqrt", "cosine") for length in ("long", "short", "middle")]
    cells = cells_of(runs, CONFIG)
    assert cells.schedules == ("rsqrt", "cosine") and cells.lengths == ("short", "middle", "long")
    assert [cells.tokens_at(length) for length in cells.lengths] == [2000, 4000, 8000]
    assert [run.name for run in cells.at("short", "cosine")] == ["cosine-short-s1"]


def test_a_length_of_which_nothing_was_trained_comes_last(schedule_run: Make) -> None:
    runs = [
        schedule_run("cosine", "short", 1, 2.0, stages=(), table=None, outcome="failed"),
        schedule_run("cosine", "long", 1, 2.0),
    ]
    cells = cells_of(runs, CONFIG)
    assert cells.lengths == ("long", "short") and cells.tokens_at("short") is None
    assert cells.ended("short", "cosine") == [] and len(cells.at("short", "cosine")) == 1
    assert cells.kind_of("cosine") == "cosine" and cells_of(runs[:1], CONFIG).kind_of("cosine") is None
    assert planned_tokens(runs[0]) == 0 and last_stage(runs[0]) is None and whole_stage(runs[0], runs) is None


def test_runs_without_the_axes_are_left_out_and_a_study_needs_no_axis_of_lengths(schedule_run: Make, make_run: Make) -> None:
    runs = [schedule_run("cosine", "short", 1, 2.0), make_run({"batch": "4"}, 1, 2.0)]
    assert [run.name for run in cells_of(runs, CONFIG).runs] == ["cosine-short-s1"]
    cells = cells_of(runs, SchedulesAnalysis())
    assert cells.lengths == (None,) and cells.tokens_at(None) == 2000
    assert cells_of([], CONFIG).lengths == ()


def test_a_shared_beginning_is_put_before_what_the_run_did_itself(schedule_run: Make) -> None:
    alone = schedule_run("hyb", "short", 1, 2.0)
    long, short = schedule_run("hyb", "long", 1, 2.0), schedule_run("hyb", "short", 1, 2.0, first=19)
    whole, told = whole_stage(short, [short, long]), last_stage(alone)
    assert whole is not None and told is not None
    for lists in ("steps", "rates", "losses", "norms"):
        assert getattr(whole, lists) == getattr(told, lists)
    # Without the run it begins with, what it did itself is all that is known.
    assert whole_stage(short, [short]) == short.stages[0]


def test_a_beginning_may_itself_begin_with_another_run(schedule_run: Make) -> None:
    long, middle = schedule_run("hyb", "long", 1, 2.0), schedule_run("hyb", "middle", 1, 2.0, first=11)
    short = replace(schedule_run("hyb", "short", 1, 2.0, first=19), begins_with=middle.name)
    whole = whole_stage(short, [short, middle, long])
    assert whole is not None and list(whole.steps) == list(range(1, 21))
    round_about = replace(middle, begins_with=short.name)
    whole = whole_stage(short, [short, round_about])
    assert whole is not None and list(whole.steps) == list(range(11, 21))
