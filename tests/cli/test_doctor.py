import json

import pytest

from pellucid.cli.main import main


def test_machine_and_extras_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["cores"] >= 1
    assert set(found["extras"]) == {"arcade", "gguf", "hf", "report"}
    assert main(["doctor"]) == 0
    assert "processor" in capsys.readouterr().out
