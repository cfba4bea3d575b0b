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
    assert "manifest.json is missing" in capsys.readouterr().err
