"""Sections of a recipe → cleaning steps that are ready to run: the one place that knows all of them."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.recipe.cleaning import (
    BoilerplateStep,
    C4Step,
    FineWebStep,
    GopherQualityStep,
    GopherRepetitionStep,
    LanguageStep,
    PerplexityStep,
    PiiStep,
    StepConfig,
    UnicodeStep,
)

__all__ = ["Step", "build_steps"]

Step = Callable[[TextBatch], None]


def build_steps(configs: Sequence[StepConfig], base: Path) -> list[Step]:
    """Return the steps in order, models loaded; `base` is the recipe's folder, which models' paths are relative to.

    Raises `MissingExtraError` for a package that is not installed and `DataError` for a model that cannot be read.
    """
    return [_build(config, base) for config in configs]


def _build(config: StepConfig, base: Path) -> Step:
    match config:
        case UnicodeStep():
            from pellucid.documents.cleaning import unicode

            return partial(unicode.apply, config=config)
        case BoilerplateStep():
            from pellucid.documents.cleaning import boilerplate

            return partial(boilerplate.apply, config=config)
        case LanguageStep():
            from pellucid.documents.cleaning.language import LanguageIdentifier

            return LanguageIdentifier(config).apply
        case GopherQualityStep():
            from pellucid.documents.cleaning import gopher_quality

            return partial(gopher_quality.apply, config=config)
        case GopherRepetitionStep():
            from pellucid.documents.cleaning import gopher_repetition

            return partial(gopher_repetition.apply, config=config)
        case C4Step():
            from pellucid.documents.cleaning import c4

            return partial(c4.apply, config=config)
        case FineWebStep():
            from pellucid.documents.cleaning import fineweb

            return partial(fineweb.apply, config=config)
        case PiiStep():
            from pellucid.documents.cleaning import pii

            return partial(pii.apply, config=config)
        case PerplexityStep():
            from pellucid.documents.cleaning.perplexity import Perplexity

            return Perplexity(config, base).apply
