import json
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.files import read_json
from pellucid.core.ledger import Ledger
from pellucid.stages.attempt import attempt


def test_a_run_shows_every_attempt_and_the_sums(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no luck"), attempt(run_copy, "sft"):
        raise ValueError("no luck")
    Ledger(run_copy).append("start", stage="evaluate --suite choices", attempt=1)
    assert main(["show", str(run_copy)]) == 0
    out = capsys.readouterr().out
    for words in ("pretrain", "no luck", "failure", "running", "of these without an end", "1 failure,", "PUE 1.1"):
        assert words in out
    assert main(["show", str(run_copy), "--json"]) == 0
    account, sealed = json.loads(capsys.readouterr().out), read_json(run_copy / "account" / "account.json")
    assert account["counts"] == {**sealed["counts"], "attempts": sealed["counts"]["attempts"] + 1, "failures": 1}
    assert account["attempts"][:-1] == sealed["attempts"]


def test_an_altered_ledger_is_not_summed(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run_copy / "ledger.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"seconds":', b'"seconds": ', 1))
    assert main(["show", str(run_copy)]) == 1
    assert "ledger.jsonl, line 2 " in capsys.readouterr().err


def test_energy_that_nobody_wrote_down_is_a_dash(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_copy / "ledger.jsonl").unlink()
    Ledger(run_copy).append("start", stage="plan")
    Ledger(run_copy).append("end", stage="plan", seconds=60.0)
    assert main(["show", str(run_copy)]) == 0
    assert "–" in capsys.readouterr().out


def test_a_ledger_whose_fields_cannot_be_read_is_an_error_that_names_the_line(
    run_copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_copy / "ledger.jsonl").unlink()
    Ledger(run_copy).append("start", stage="plan", attempt=1)
    Ledger(run_copy).append("end", stage="plan", attempt=1, seconds="x")
    assert main(["show", str(run_copy)]) == 1
    assert "ledger.jsonl, line 2: seconds: got 'x'; must be a number from 0" in capsys.readouterr().err


def test_one_of_a_kind_is_told_as_one(run_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("1 stop, ", "2 stops, "):
        with pytest.raises(KeyboardInterrupt), attempt(run_copy, "evaluate --suite choices"):
            raise KeyboardInterrupt
        assert main(["show", str(run_copy)]) == 0
        assert said in capsys.readouterr().out
