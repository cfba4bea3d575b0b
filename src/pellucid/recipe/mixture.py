"""The section about all sources at once: how sizes become weights, and how often anything may be read."""

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["MixtureConfig"]


class MixtureConfig(Section):
    """From sizes to weights. `plan/mixing.py` resolves it, together with the sources' and the stages' own keys."""

    temperature: float | None = Field(
        None,
        gt=0,
        description="A weight is tokens^(1/temperature), times the source's weight (1 if not given). 1: by size; more: flatter. "
        "(Multilingual sampling as in XLM-R, arXiv 1911.02116, section 3.1, and mT5, arXiv 2010.11934, section 3.2.)",
    )
    max_epochs: float | None = Field(
        None, gt=0, description="What a weight gives any source at most over the whole run; the others share the rest."
    )
