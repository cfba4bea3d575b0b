"""Scripts of measurements run now and then only: what they take from Pellucid must be there all the same."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_benchmark_imports_is_there(script: Path) -> None:
    taken = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    for node in (node for node in taken if node.module and node.module.split(".")[0] == "pellucid"):
        module = import_module(str(node.module))
        missing = [one.name for one in node.names if not hasattr(module, one.name) and not find_spec(f"{node.module}.{one.name}")]
        assert not missing, f"{script.name}, line {node.lineno}: {node.module} has no {missing}"


def test_there_are_benchmarks() -> None:
    assert len(SCRIPTS) > 40
