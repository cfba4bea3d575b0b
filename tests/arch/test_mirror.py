"""Every module has its test file where one looks for it, and no test file tests a module that is gone."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE, TESTS = ROOT / "src" / "pellucid", ROOT / "tests"
MODULES = [path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")) if path.name != "__init__.py"]
OUTSIDE = {"arch", "e2e", "golden", "corpora", "benchmarks"}


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_test_file_of_its_name(module: Path) -> None:
    test = TESTS / module.parent / f"test_{module.stem}.py"
    assert test.is_file(), f"src/pellucid/{module} has no {test.relative_to(ROOT)}"
    assert "def test_" in test.read_text()


def test_every_test_file_belongs_to_a_module() -> None:
    strays = [
        path.relative_to(TESTS)
        for path in sorted(TESTS.rglob("test_*.py"))
        if path.relative_to(TESTS).parts[0] not in OUTSIDE
        and not (SOURCE / path.relative_to(TESTS).parent / f"{path.stem.removeprefix('test_')}.py").is_file()
    ]
    assert not strays
