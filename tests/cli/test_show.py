import json
from pathlib import Path

import pytest

from pellucid.cli.main import main


def test_a_manifest_is_shown_as_a_table_and_as_json(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(finished_run / "tokenizer")]) == 0
    assert "tokenizer.json" in capsys.readouterr().out
    assert main(["show", str(finished_run / "tokenizer"), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["kind"] == "tokenizer"
    assert manifest["inputs"].keys() == {"documents"}


def test_a_folder_without_manifest_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path} is neither a run nor a finished artifact" in said and "ledger.jsonl" in said and "manifest.json" in said


def test_a_folder_that_is_not_there_is_what_the_error_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "nothere")]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'nothere'}: there is no such folder" in said and "manifest.json" not in said
