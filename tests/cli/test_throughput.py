import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from pellucid.cli.main import main
from pellucid.core.attempts import read_attempts

pytest.importorskip("xllamacpp")
SMALL = ["--prompt-tokens", "8", "--new-tokens", "4", "--rounds", "1", "--threads", "1", "--batch", "1"]


def test_a_file_is_measured_and_the_table_names_what_was_not(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = finished_run / "exports" / "gguf" / "model-F16.gguf"
    assert main(["throughput", str(file), *SMALL, "--out", str(tmp_path / "t.json")]) == 0
    told = capsys.readouterr().out
    assert "Device" in told and re.search(r"llama\.cpp +F16 +cpu +1 ", told) and "8 prompt and 4 new tokens" in told
    found = json.loads((tmp_path / "t.json").read_text())
    for kind, reason in found["energy"]["missing"].items():
        assert f"not measured: watts by {kind}: {reason[:30]}" in told
    assert f"written to {tmp_path / 't.json'}" in told


def test_a_whole_run_keeps_its_figures_and_a_part_of_it_does_not(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["throughput", str(run_copy), *SMALL, "--only", "Q8_0", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["contestants"]] == ["llama.cpp Q8_0"]
    assert not (run_copy / "throughput").exists()
    assert main(["throughput", str(run_copy), *SMALL, "--only", "no such program"]) == 2
    (attempt,) = [one for one in read_attempts(run_copy) if one.stage == "throughput"]
    assert (attempt.outcome, attempt.manifest) == ("end", None) and attempt.seconds > 0, "a wrong call is no attempt"


def test_when_nobody_could_be_measured_the_command_fails(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished_run / "exports" / "gguf", tmp_path / "gguf")
    for file in (tmp_path / "gguf").iterdir():
        file.write_bytes(file.read_bytes().replace(b"output_norm.weight", b"output_morn.weight"))
    assert main(["throughput", str(tmp_path / "gguf"), *SMALL]) == 1
    assert "not measured: llama.cpp F16: llama.cpp does not load" in capsys.readouterr().out


def test_where_torch_computes_is_kept_and_a_gpu_that_is_not_there_is_a_wrong_call(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(finished_run / "exports" / "gguf" / "model-F16.gguf")
    assert main(["throughput", file, *SMALL, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["device"] == "cpu"
    if not torch.cuda.is_available():
        assert main(["throughput", file, *SMALL, "--device", "cuda"]) == 2
        assert "--device cuda: torch sees no GPU" in capsys.readouterr().err
    assert main(["throughput", file, file, *SMALL]) == 2
    assert "is given twice" in capsys.readouterr().err


def test_what_is_no_model_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["throughput", str(tmp_path), *SMALL]) == 2
    assert "neither a run, nor an export" in capsys.readouterr().err
