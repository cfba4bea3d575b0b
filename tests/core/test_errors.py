from pellucid.core.errors import DataError, MissingExtraError, Problem, RecipeError, StoppedError, UsageError


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
