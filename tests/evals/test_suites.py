import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.suites import SUITES, find_suite


def test_an_unknown_suite_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="open_llm, tinyllama_commonsense"):
        find_suite("openllm")


def test_names_are_those_of_the_table() -> None:
    assert all(find_suite(name).name == name for name in SUITES)
