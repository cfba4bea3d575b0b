import json
import re
import tomllib
from pathlib import Path

import pytest

from pellucid.cli import doctor
from pellucid.cli.main import main

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
del EXTRAS["dev"]


def test_every_extra_is_known_with_its_packages() -> None:
    for name, wanted in EXTRAS.items():
        packages = {re.split(r"[>=<\[]", one)[0] for one in wanted}
        known = {*doctor._EXTRAS[name][0], "sentencepiece"} if name == "clean" else {*doctor._EXTRAS[name][0]}
        assert packages == known, name


def test_machine_and_extras_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["cores"] >= 1
    assert set(found["extras"]) == set(EXTRAS)
    assert main(["doctor"]) == 0
    assert "processor" in capsys.readouterr().out
