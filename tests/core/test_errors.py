import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from pellucid.core import errors
from pellucid.core.errors import DataError, MissingExtraError, Problem, RecipeError, StoppedError, UsageError

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "MissingExtraError": ("fsspec", "remote", "reading s3://a"),
    "Problem": ("train[0]", "got 1", "nearest: 2"),
    "RecipeError": ("pocket.yaml", [Problem("sed", "unknown key", "did you mean seed?")]),
    "StoppedError": (15, "stopped after step 3"),
}


def test_a_recipe_error_shows_all_problems_with_field_value_and_fix() -> None:
    error = RecipeError(
        "pocket.yaml",
        [
            Problem("train[0].batch_tokens", "got 100000; must be a multiple of 8192", "nearest: 98304"),
            Problem("sed", "unknown key"),
        ],
    )
    text = str(error)
    assert text.splitlines()[0] == "2 problems in pocket.yaml"
    assert "train[0].batch_tokens   got 100000" in text
    assert "nearest: 98304" in text


def test_exit_statuses_are_the_documented_ones() -> None:
    assert DataError.exit_status == 1
    assert UsageError.exit_status == RecipeError.exit_status == 2
    assert StoppedError(15, "").exit_status == 143
    assert "pip install 'pellucid[gguf]'" in str(MissingExtraError("gguf", "gguf", "Writing GGUF"))


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_comes_out_of_another_process_as_it_was(name: str) -> None:
    error = getattr(errors, name)(*ARGUMENTS.get(name, ("what is wrong",)))
    if isinstance(error, Exception):
        error.add_note("seen by a worker")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error)
    assert vars(again) == vars(error) and getattr(again, "args", ()) == getattr(error, "args", ())
    assert getattr(again, "exit_status", 0) == getattr(error, "exit_status", 0)


def _lack() -> None:
    raise MissingExtraError("fsspec", "remote", "reading s3://a")


def test_a_missing_package_in_a_worker_is_told_and_does_not_break_the_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(MissingExtraError, match="package fsspec"):
        pool.submit(_lack).result()
