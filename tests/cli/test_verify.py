import json
import random
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.attempts import read_attempts


def test_any_altered_byte_of_any_artifact_is_found_and_its_file_named(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [path for path in sorted(run_copy.rglob("*")) if path.is_file() and path.parent != run_copy]
    draw = random.Random(3)
    for file in draw.sample(files, 25):
        whole = file.read_bytes()
        if not whole:
            continue
        at = draw.randrange(len(whole))
        file.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << draw.randrange(8))]) + whole[at + 1 :])
        assert main(["verify", str(run_copy)]) == 1
        assert str(file) in capsys.readouterr().out
        file.write_bytes(whole)
    assert main(["verify", str(run_copy)]) == 0


def test_an_edited_ledger_does_not_hold(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = run_copy / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"stage":"plan"', '"stage":"plane"', 1))
    assert main(["verify", str(run_copy), "--json"]) == 1
    assert "ledger.jsonl" in json.loads(capsys.readouterr().out)["faults"][0]


def test_a_folder_without_artifacts_does_not_pass(tmp_path: Path) -> None:
    assert main(["verify", str(tmp_path)]) == 1
    assert main(["verify", str(tmp_path / "none")]) == 2


def test_exports_are_opened_again_when_asked(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xllamacpp")
    assert main(["verify", str(run_copy), "--exports", "--json"]) == 0
    assert read_attempts(run_copy)[-1].stage == "verify --exports"
    found = json.loads(capsys.readouterr().out)
    assert found["faults"] == []
    assert any(line.startswith("exports/gguf/model-F16.gguf in llama.cpp ") for line in found["checked"])
    file = run_copy / "exports" / "gguf" / "model-F16.gguf"
    file.write_bytes(file.read_bytes()[:-100])
    assert main(["verify", str(run_copy), "--exports"]) == 1
    told = capsys.readouterr().out
    assert f"does not hold: {file}: " in told and "opened again: exports/hf in " in told
