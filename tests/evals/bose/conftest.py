"""Small files of questions."""

import json
from pathlib import Path

import pytest

COLOURS = ("red", "green as grass", "blue", "white")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Forty questions about colours, with as many right choices at each place."""
    path = tmp_path / "colours.jsonl"
    rows = [
        {"query": f"Question: Which colour has thing {number}?", "choices": list(COLOURS), "gold": number % 4}
        for number in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
