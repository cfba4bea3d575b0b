import json
import math
from collections.abc import Callable

import pytest

from pellucid.core.files import json_bytes
from pellucid.studies.results import Cost, Point, RunResult, Scores, Stage, by_level, pooled, runs_from_json

Make = Callable[..., RunResult]


def test_runs_come_back_from_json_as_they_were(make_run: Make) -> None:
    stage = Stage("pretrain", 2, 4096, 256, {"kind": "cosine"}, (1, 2), (0.1, 0.05), (7.0, 6.5), (1.0, 0.9))
    point = Point("pretrain", 1, 4096, {"all": {"all": Scores(10.0, 5, 1)}})
    run = make_run(
        {"a": "x"},
        1,
        2.0,
        {"language": {"de": 1.5}},
        stages=(stage,),
        points=(point,),
        cost=Cost(seconds=3.0),
        noise=({"step": 1},),
    )
    failed = RunResult("y", {"a": "y"}, 2, "failed", "diverged")
    back = runs_from_json(json.loads(json.dumps([run.to_json(), failed.to_json()])))
    assert json.dumps([one.to_json() for one in back]) == json.dumps([run.to_json(), failed.to_json()])
    assert back[0].bits_per_byte("language", "de") == pytest.approx(1.5)
    assert back[0].stages[0].name == "pretrain"
    assert back[0].points[0].table["all"]["all"].bits_per_byte == point.table["all"]["all"].bits_per_byte
    assert not back[1].is_comparable


def test_losses_that_were_no_numbers_come_back_as_none(make_run: Make) -> None:
    nan = math.nan
    stage = Stage("p", 3, 1, 1, {}, (1, 2, 3), (0.1,) * 3, (9.0, nan, nan), (1.0, nan, nan))
    raw = json_bytes([make_run({"a": "x"}, 1, 2.0, stages=(stage,)).to_json()])
    [back] = runs_from_json(json.loads(raw))
    assert math.isnan(back.final_loss(2)) and math.isnan(back.stages[0].norms[1])
    assert json_bytes([back.to_json()]) == raw


def test_bits_per_byte_are_nats_over_ln_2_and_bytes_and_groups_pool_by_their_bytes() -> None:
    a, b = Scores(math.log(2) * 30, 10, 1), Scores(math.log(2) * 10, 10, 2)
    assert a.bits_per_byte == pytest.approx(3.0)
    assert pooled([a, b]) == Scores(a.nats + b.nats, 20, 3)
    assert pooled([a, b]).bits_per_byte == pytest.approx(2.0)
    assert math.isnan(Scores(0.0, 0, 0).bits_per_byte)


def test_the_loss_that_a_run_ended_with_is_a_mean_over_its_last_steps() -> None:
    stage = Stage("pretrain", 4, 1, 1, {}, (1, 2, 3, 4), (0,) * 4, (9.0, 5.0, 4.0, 3.0), (0,) * 4)
    run = RunResult("a", {}, 1, "stopped", stages=(stage, Stage("sft", 2, 1, 1, {}, (), (), (), ())))
    assert run.final_loss(2) == pytest.approx(3.5)
    assert run.final_loss(100) == pytest.approx(5.25)
    assert math.isnan(RunResult("b", {}, 1, "failed").final_loss(2))


def test_runs_are_found_by_level(make_run: Make) -> None:
    runs = [make_run({"a": level}, seed, 1.0) for level in ("x", "y") for seed in (1, 2)]
    assert {level: [one.seed for one in found] for level, found in by_level(runs, "a").items()} == {"x": [1, 2], "y": [1, 2]}
    assert by_level(runs, "b") == {}
