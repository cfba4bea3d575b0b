import argparse
from pathlib import Path

import pytest

from pellucid.cli.engine_arguments import engine_arguments
from pellucid.cli.engine_shape import engine_shape
from pellucid.core.errors import UsageError
from pellucid.stages.served import EngineShape


def shape(*flags: str) -> EngineShape:
    parser = argparse.ArgumentParser()
    engine_arguments(parser)
    return engine_shape(parser.parse_args(flags), slots=2)


def test_flags_become_a_shape_and_what_is_out_of_range_is_named() -> None:
    assert shape() == EngineShape(None, 2)
    flags = ("--context", "64", "--threads", "1", "--weights", "int8", "--draft", "runs/small")
    assert shape(*flags) == EngineShape(64, 2, 1, "int8", Path("runs/small"))
    with pytest.raises(UsageError, match="--threads 0"):
        shape("--threads", "0")
