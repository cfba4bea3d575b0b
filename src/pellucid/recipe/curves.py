"""Section of a training stage: what is measured on the way, and how often."""

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["FROM_HELDOUT", "CurvesConfig"]

FROM_HELDOUT = ("continuation", "perplexity")
"""Tasks that are made from a run's held-out documents."""


class CurvesConfig(Section):
    """Capabilities over training: small tasks scored before the first step, on the way, and after the last.

    They change nothing of what is trained, so a stage may be continued with other values.
    """

    every_steps: int = Field(0, ge=0, description="0: only before the first step, at `at_steps`, and after the last.")
    at_steps: tuple[int, ...] = Field((), description="Further steps at which to measure.")
    tasks: tuple[str, ...] = Field(
        FROM_HELDOUT,
        min_length=1,
        description="continuation and perplexity are made from held-out documents; others are tasks of the suite `choices`, or "
        "files of items, relative to the recipe.",
    )
    items: int = Field(100, ge=2, description="Items of each task, chosen by the seed; all there are when fewer.")
    data: str | None = Field(None, description="Folder with the data of benchmarks, relative to the recipe.")
    context_words: int = Field(32, ge=1, description="continuation: words that the model is shown.")
    continuation_words: int = Field(16, ge=1, description="continuation: words of each choice.")
    text_words: int = Field(128, ge=2, description="perplexity: words of each text.")
    min_gain: float = Field(
        0.01,
        ge=0,
        description="The forecasts' stop rule: advise to stop when a further gain of this share of the score so far is less likely "
        "than one in twenty. Training itself goes on.",
    )
