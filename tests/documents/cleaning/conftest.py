"""What datatrove says about a fixed sample of the pocket corpus, recorded by benchmarks/peers/datatrove_verdicts.py."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

RECORD = Path(__file__).parent / "datatrove_verdicts.json"
SCRIPT = Path(__file__).parents[3] / "benchmarks" / "peers" / "datatrove_verdicts.py"


@dataclass(frozen=True)
class Recorded:
    """The sample's texts and languages, and for each the recorded verdicts by filter; "" is kept."""

    entries: list[dict[str, Any]]
    texts: list[str]
    stop_words: dict[str, list[str]]

    @property
    def languages(self) -> list[str]:
        return [entry["language"] for entry in self.entries]

    def differing(self, name: str, reasons: list[str | None], ours: dict[str, str]) -> dict[tuple[str, int, str], tuple[str, str]]:
        """Return documents whose verdict is another one: (file, row, edit) → (datatrove's, ours)."""
        found = {}
        for entry, reason in zip(self.entries, reasons, strict=True):
            expected = ours[entry[name]] if entry.get(name) else None
            if name in entry and expected != reason:
                found[entry["file"], entry["row"], entry["edit"]] = (entry[name], reason or "")
        return found


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    spec = importlib.util.spec_from_file_location("datatrove_verdicts", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    record = json.loads(RECORD.read_text())
    return Recorded(record["documents"], script.read_texts(record["documents"]), record["stop_words"])
