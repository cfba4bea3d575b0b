from pathlib import Path

import pytest

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import main
from pellucid.core.attempts import read_attempts
from pellucid.core.files import sha256_file


def test_the_newest_checkpoints_are_averaged_and_the_run_still_holds(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", str(run_copy), "--stage", "pretrain"]) == 0
    path = run_copy / "averages" / "pretrain-last-2" / "step-00000030"
    assert capsys.readouterr().out == f"mean of steps 20, 30: {path}\n"
    model, meta = load_model(path)
    assert sorted(meta["averaged"]) == ["20", "30"]
    for name, parameter in model.named_parameters():
        ends = [
            load_model(run_copy / "pretrain" / "checkpoints" / f"step-000000{step}")[0].get_parameter(name) for step in (20, 30)
        ]
        assert parameter.equal(((ends[0].double() + ends[1].double()) / 2).float())
    assert main(["verify", str(run_copy)]) == 0
    attempt = read_attempts(run_copy)[-1]
    assert (attempt.stage, attempt.outcome, attempt.summary) == ("average", "end", {"steps": [20, 30]})
    assert (attempt.folder, attempt.manifest) == (str(path.relative_to(run_copy)), sha256_file(path / "manifest.json"))
    (path / "model.safetensors").write_bytes(b"")
    capsys.readouterr()
    assert main(["verify", str(run_copy)]) == 1
    assert "averages/pretrain-last-2/step-00000030/model.safetensors" in capsys.readouterr().out


def test_too_few_checkpoints_and_an_unknown_stage_are_errors(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", str(finished_run), "--last", "3", "--stage", "pretrain"]) == 1
    text = capsys.readouterr().err
    assert "has 2 good checkpoints (step 20, 30), --last 3 needs 3" in text
    assert "--set train.pretrain.checkpoint.keep_last=N" in text
    assert main(["average", str(finished_run), "--last", "1"]) == 2
    assert "--last 1: a mean needs at least 2" in capsys.readouterr().err
    assert main(["average", str(finished_run), "--stage", "nosuch"]) == 2
    assert "no training stage 'nosuch'; it has pretrain, sft" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", str(tmp_path)]) == 2
    assert "is not a run" in capsys.readouterr().err
