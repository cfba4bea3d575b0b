import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from pellucid.core.ledger import Ledger
from pellucid.studies.collect import collect_run
from pellucid.studies.design import LoadedStudy, load_study
from pellucid.studies.results import Scores, pooled


@pytest.fixture(scope="module")
def study(finished_study: Path) -> LoadedStudy:
    return load_study(finished_study.parent / "study.yaml")


def test_a_run_tells_of_its_steps_scores_and_weights(finished_study: Path, study: LoadedStudy) -> None:
    planned = study.runs[0]
    run = collect_run(planned, finished_study / "runs" / planned.name, "done")
    [stage] = run.stages
    assert (stage.name, stage.steps, stage.steps_planned, stage.batch_tokens) == ("pretrain", tuple(range(1, 13)), 12, 1024)
    assert stage.rates[0] == pytest.approx(3e-3 / 2)
    assert stage.rates[-1] == 0.0
    assert all(math.isfinite(loss) for loss in stage.losses)
    heldout = json.loads((finished_study / "runs" / planned.name / "scores/heldout.json").read_text())["bits_per_byte"]
    assert run.bits_per_byte() == pytest.approx(heldout["all"])
    for language, row in heldout["by_language"].items():
        assert run.bits_per_byte("language", language) == pytest.approx(row["model"])
    assert run.table is not None
    for kind in ("language", "category", "source"):
        assert pooled(run.table[kind].values()).bits_per_byte == pytest.approx(heldout["all"])
    assert set(run.table["category"]) <= {"Instruction", "Law", "Code", "Wiki"}
    assert sum(run.weights["pretrain"].values()) == pytest.approx(1.0)
    assert set(run.weights["pretrain"]) == set(run.sources)
    assert run.sources["human-rights.fr"] == {"category": "Law", "language": "fr"}


def test_points_on_the_way_have_their_groups(finished_study: Path, study: LoadedStudy) -> None:
    planned = study.runs[0]
    points = collect_run(planned, finished_study / "runs" / planned.name, "done").points
    assert [point.step for point in points] == [0, 4, 8, 12]
    assert [point.tokens for point in points] == [0, 4096, 8192, 12_288]
    for point in points:
        whole = point.table["all"]["all"]
        assert whole.documents == 12
        assert pooled(point.table["source"].values()).bytes == whole.bytes
    # Eight bits are one of 256 bytes at random; a vocabulary of 512 over several bytes each costs less from the start.
    assert points[-1].table["all"]["all"].bits_per_byte < points[0].table["all"]["all"].bits_per_byte < 9


def test_what_was_anothers_is_no_cost_of_its_own(finished_study: Path, study: LoadedStudy) -> None:
    runs = {one.name: collect_run(one, finished_study / "runs" / one.name, "done") for one in study.runs}
    long, short = runs["0.003-12288-s1"], runs["0.003-6144-s1"]
    assert (long.cost.tokens, long.cost.shared_tokens, long.begins_with) == (12_288, 0, None)
    assert (short.cost.tokens, short.cost.shared_tokens, short.begins_with) == (2048, 4096, "0.003-12288-s1")
    assert short.cost.flops == pytest.approx(long.cost.flops / 6)
    assert sum(run.cost.data_s > 0 for run in runs.values()) == 1
    assert long.cost.seconds > 0 and long.cost.cpu_s > 0
    assert list(short.stages[0].steps) == list(range(1, 7))


def test_a_run_tells_what_trained_it(finished_study: Path, study: LoadedStudy) -> None:
    planned = study.runs[0]
    [made] = collect_run(planned, finished_study / "runs" / planned.name, "done").made_with
    assert made["stage"] == "pretrain"
    assert made["settings"] == {
        "device": "cpu",
        "precision": "fp32",
        "ranks": 1,
        "tensor_ways": 1,
        "shard": "none",
        "threads": 1,
        "compiled": False,
        "torch": torch.__version__,
    }


def test_a_run_that_has_trained_and_not_ended_is_unfinished(finished_study: Path, study: LoadedStudy, tmp_path: Path) -> None:
    planned = study.runs[0]
    shutil.copytree(finished_study / "runs" / planned.name, tmp_path / "run")
    run = collect_run(planned, tmp_path / "run", "not begun", "no room")
    assert (run.outcome, run.message, run.table) == ("unfinished", "no room", None)
    assert run.cost.tokens == 12_288 and run.stages[0].steps[-1] == 12
    # What another recipe has left there is no beginning of this run; that it was made has cost what it has cost.
    other = load_study(finished_study.parent / "study.yaml", ["set.train.pretrain.z_loss=1e-4"]).runs[0]
    left = collect_run(other, tmp_path / "run", "not begun")
    assert (left.outcome, left.points, left.made_with, left.stages[0].steps, left.cost.tokens) == ("not begun", (), (), (), 0)
    assert left.cost.cpu_s == run.cost.cpu_s > 0


def test_settings_that_trained_no_step_are_not_told(finished_study: Path, study: LoadedStudy, tmp_path: Path) -> None:
    planned = study.runs[0]
    shutil.copytree(finished_study / "runs" / planned.name, tmp_path / "run")
    file = tmp_path / "run/pretrain/metrics.jsonl"
    lines = file.read_text().splitlines()
    start = json.loads(lines[0])
    resume = json.dumps({**start, "event": "resume", "step": 4, "threads": 2})
    at = next(number for number, line in enumerate(lines) if json.loads(line).get("step") == 4 and "loss" in json.loads(line)) + 1
    again = json.dumps({**start, "event": "resume", "step": 4})
    for extra, threads in (([resume, again], [1]), ([resume], [1, 2])):
        file.write_text("\n".join([*lines[:at], *extra, *lines[at:]]) + "\n")
        made = collect_run(planned, tmp_path / "run", "done").made_with
        assert [one["settings"]["threads"] for one in made] == threads


def test_a_failed_run_has_nothing_of_another_recipes_training(finished_study: Path, tmp_path: Path) -> None:
    other = load_study(finished_study.parent / "study.yaml", ["set.train.pretrain.z_loss=1e-4"]).runs[0]
    shutil.copytree(finished_study / "runs" / other.name, tmp_path / "run")
    Ledger(tmp_path / "run").append("start", stage="plan", attempt=9, recipe=other.loaded.digest, folder="plan")
    failed = collect_run(other, tmp_path / "run", "failed", "DataError: no text")
    assert (failed.outcome, failed.points, failed.weights, failed.cost.tokens) == ("failed", (), {}, 0)
    assert math.isnan(failed.final_loss(4))


def test_a_run_that_was_never_begun_has_nothing(tmp_path: Path, study: LoadedStudy) -> None:
    run = collect_run(study.runs[0], tmp_path / "nowhere", "not begun", "no room")
    assert (run.outcome, run.message, run.table, run.points) == ("not begun", "no room", None, ())
    assert run.cost.seconds == 0.0
    assert run.stages[0].steps == ()
    # Its size is known all the same: 6 FLOPs for each parameter but the embedding's and each token, and attention's.
    model = study.runs[0].loaded.recipe.model
    table = model.vocab_tokens * model.hidden
    assert run.embedding_parameters == table * (1 if model.tied_head else 2)
    attention = 6 * model.layers * model.hidden * run.stages[0].seq_tokens
    multiplied = run.parameters - (0 if model.tied_head else table)
    assert run.planned_flops == 12_288 * (6 * multiplied + attention)
    assert not run.is_comparable
    assert isinstance(pooled([]), Scores)
