"""Stands in for rich where it is missing (see `../pydantic.py`): every class can be made, and shows nothing."""

import sys
from types import ModuleType
from typing import Any


class _Silent:
    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Silent,), {})


for part in ("console", "progress", "text"):
    sys.modules[f"rich.{part}"] = _Module(f"rich.{part}")
