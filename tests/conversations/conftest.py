import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.recipe.conversations import ConversationConfig

Write = Callable[..., ConversationConfig]


@pytest.fixture
def write_source(tmp_path: Path) -> Write:
    """Writes records as NAME.jsonl, and gives a source that reads them."""

    def write(name: str, records: list[Any], **values: Any) -> ConversationConfig:
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
        return ConversationConfig(name=name, path=file.name, **values)

    return write
