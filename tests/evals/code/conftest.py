"""Hostile programs and the world they are let loose in; problems in the form of HumanEval and MBPP, written for these tests."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pellucid.evals.code.sandbox import Sandbox


def _world_module() -> ModuleType:
    if "hostile_world" not in sys.modules:
        spec = importlib.util.spec_from_file_location("hostile_world", Path(__file__).with_name("world.py"))
        assert spec is not None and spec.loader is not None
        sys.modules["hostile_world"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["hostile_world"])
    return sys.modules["hostile_world"]


HOSTILE = _world_module().hostile_programs()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "hostile" in metafunc.fixturenames:
        metafunc.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
    if "control" in metafunc.fixturenames:
        controls = [hostile for hostile in HOSTILE if hostile.flag in ("control", "forges")]
        metafunc.parametrize("control", controls, ids=lambda hostile: hostile.name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[object]:
    with _world_module().World(tmp_path).standing() as world:
        yield world


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """A sandbox with small limits, tested once."""
    if sys.platform != "linux":
        pytest.skip("the sandbox needs Linux")
    sandbox = Sandbox(_world_module().LIMITS)
    sandbox.test()
    return sandbox
