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


def test_a_folder_without_artifacts_does_not_pass_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why = f"there is nothing to check in {tmp_path}: no artifact and no ledger; give the folder of a run, for example runs/pocket"
    assert main(["verify", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert f"note: {why}\n" in told and "looked at" not in told
    assert main(["verify", str(tmp_path), "--json"]) == 1
    assert why in json.loads(capsys.readouterr().out)["notes"]
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


def test_what_was_looked_at_is_a_table_and_what_does_not_hold_a_line_each(
    run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(run_copy), "--deep"]) == 0
    told = capsys.readouterr().out
    for check in ("files", "ledger", "recipe", "counts", "receipts", "scores", "exports", "report", "plan"):
        assert any(line.split()[:2] == ["✓", check] for line in told.splitlines()), check
    assert "does not hold" not in told and " 0 faults, " in told
    file = run_copy / "scores" / "heldout.json"
    whole = file.read_text()
    place = whole.index('"documents": ') + len('"documents": ')
    file.write_text(whole[:place] + ("2" if whole[place] == "1" else "1") + whole[place + 1 :])
    assert main(["verify", str(run_copy)]) == 1
    told = capsys.readouterr().out
    assert any(line.split()[:2] == ["✗", "scores"] for line in told.splitlines())
    assert f"does not hold: {file} was altered" in told and f"does not hold: {file} bits_per_byte." in told


def test_json_keeps_its_keys(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run_copy), "--json", "--replay", "2", "--stage", "pretrain", "--step", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"checked", "faults", "notes", "checks", "replay", "seconds"}
    assert all(one.keys() == {"name", "proves", "unit", "looked", "checked", "faults", "notes"} for one in found["checks"])
    assert found["replay"]["values"] == 14 and found["replay"]["from_step"] == 20 and found["replay"]["faults"] == []
    assert main(["verify", str(run_copy), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["replay"] is None


def test_a_replay_that_gives_other_bits_does_not_hold(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run_copy), "--replay", "1", "--stage", "pretrain", "--step", "20"]) == 0
    assert "trained again: 1 steps of pretrain after step 20: 7 figures the same to the last bit" in capsys.readouterr().out
    metrics = run_copy / "pretrain" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes().replace(b'"grad_norm":', b'"grad_norm":1', 1))
    assert main(["verify", str(run_copy), "--replay", "1"]) == 1
    told = capsys.readouterr().out
    assert "\ntrained again" not in told  # from what does not hold, nothing is trained
    assert "not trained again: the run does not hold as it lies there" in told


def test_where_a_replay_begins_is_said_only_with_one(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(run_copy), "--step", "20"]) == 2
    assert "give --replay N as well" in capsys.readouterr().err
    assert main(["verify", str(run_copy), "--replay", "3", "--step", "21"]) == 2
    assert "pretrain 0, pretrain 20" in capsys.readouterr().err
