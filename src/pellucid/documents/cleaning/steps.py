"""Sections of a recipe → cleaning steps that are ready to run: the one place that knows all of them."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

from pydantic import TypeAdapter

from pellucid.documents.cleaning import boilerplate, c4, fineweb, gopher_quality, gopher_repetition, pii, unicode
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.language import LanguageIdentifier
from pellucid.documents.cleaning.perplexity import Perplexity
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

_STEP: TypeAdapter[StepConfig] = TypeAdapter(StepConfig)


def build_steps(configs: Sequence[StepConfig], base: Path) -> list[Step]:
    """Return the steps in order, models loaded; `base` is the recipe's folder, which models' paths are relative to.

    Raises `MissingExtraError` for a package that is not installed and `DataError` for a model that cannot be read.
    """
    return [_build(config.model_dump_json(), base) for config in configs]


@lru_cache(maxsize=32)
def _build(as_json: str, base: Path) -> Step:
    """Build a step once per process, not once per partition: a language model can take gigabytes. Sections cannot be hashed."""
    config = _STEP.validate_json(as_json)
    match config:
        case UnicodeStep():
            return partial(unicode.apply, config=config)
        case BoilerplateStep():
            return partial(boilerplate.apply, config=config)
        case LanguageStep():
            return LanguageIdentifier(config).apply
        case GopherQualityStep():
            return partial(gopher_quality.apply, config=config)
        case GopherRepetitionStep():
            return partial(gopher_repetition.apply, config=config)
        case C4Step():
            return partial(c4.apply, config=config)
        case FineWebStep():
            return partial(fineweb.apply, config=config)
        case PiiStep():
            return partial(pii.apply, config=config)
        case PerplexityStep():
            return Perplexity(config, base).apply
