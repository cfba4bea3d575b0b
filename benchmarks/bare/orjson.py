"""Stands in for orjson where it is missing (see `pydantic.py`): the same two calls by way of json, options ignored."""

import json
from typing import Any

loads = json.loads


def dumps(value: Any, default: Any = None, option: int = 0) -> bytes:
    return json.dumps(value, default=default).encode()


def __getattr__(name: str) -> int:
    if name.startswith("OPT_"):
        return 0
    raise AttributeError(name)
