import json
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.attempts import read_attempts
from pellucid.core.files import sha256_file
from pellucid.evals.suites import SUITES


def test_without_a_suite_those_that_there_are_are_listed(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(finished_run)]) == 2
    said = capsys.readouterr().err
    assert all(f"--suite {name}" in said for name in SUITES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--suite", "hellaswag"], "there is no suite 'hellaswag'"),
        (["RUN", "--suite", "choices", "--limit", "0"], "--limit 0: must be at least 1"),
        (["RUN", "--suite", "needle", "--set", "needle.depth=3"], "did you mean depths?"),
        (["recipes/pocket-smoke.yaml", "--suite", "choices"], "--suite is for a model"),
        (["recipes/pocket-smoke.yaml", "--limit", "3", "--json"], "for suites of a model"),
        (["RUN", "--suite", "needle", "--set", "judge.url=http://127.0.0.1:9"], "name it with --judge"),
        (["no-such-run", "--suite", "choices"], "no-such-run does not exist"),
        (["RUN", "--suite", "mt_bench", "--judge", "no-such-judge"], "no-such-judge does not exist"),
        (["RUN", "--suite", "choices", "--shards", "/nowhere"], "/nowhere/shards"),
        (["http://127.0.0.1:9", "--suite", "needle", "--set", "endpoint.attempts=1"], "127.0.0.1:9"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_scored(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    call = [str(finished_run) if one == "RUN" else one for one in arguments]
    assert main(["evaluate", *call, "--out", str(tmp_path / "out")]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


ITEMS = [
    {"query": "The capital of Italy is", "choices": [" Rome.", " Oslo."], "gold": 0},
    {"query": "Two and two make", "choices": [" nine.", " four."], "gold": 1},
    {"query": "Water is", "choices": [" wet.", " triangular."], "gold": 0},
]


def test_a_model_is_scored_on_items_of_the_users_own(run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    call = ["evaluate", str(run_copy), "--suite", "choices", "--set", f"choices.tasks=[{tmp_path / 'mine.jsonl'}]"]
    assert main(call) == 0
    shown = capsys.readouterr().out
    assert "acc_norm" in shown and "mine" in shown
    (result,) = (run_copy / "evals").glob("*/choices/result.json")
    found = json.loads(result.read_text())
    (task,) = found["tasks"].values()
    assert task["items"] == 3
    assert found["contamination"]["looked_up"] == 3
    assert main(["verify", str(run_copy)]) == 0
    capsys.readouterr()
    assert main([*call, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [found]
    (attempt,) = [one for one in read_attempts(run_copy) if one.stage == "evaluate --suite choices"]
    assert attempt.outcome == "end" and attempt.manifest == sha256_file(result.with_name("manifest.json"))
    line = result.with_name("items.jsonl")
    line.write_bytes(line.read_bytes().replace(b'"acc":1', b'"acc":0').replace(b'"acc":0', b'"acc":1', 1))
    assert main(["verify", str(run_copy)]) == 1


def test_a_task_without_data_is_told_with_where_it_was_looked_for(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["evaluate", str(finished_run), "--suite", "choices", "--data-dir", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*call, "--set", "choices.tasks=[arc_easy]"]) in (1, 2)
    said = capsys.readouterr().err
    assert "arc_easy" in said and str(tmp_path) in said
