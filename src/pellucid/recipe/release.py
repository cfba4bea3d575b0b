"""Section for what is published: whose it is, under which licence, and what it is meant for."""

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["ReleaseConfig"]


class ReleaseConfig(Section):
    """What `pellucid release` cannot read from artifacts. No stage depends on it; what is not given is said to be missing."""

    licence: str | None = Field(None, description="SPDX expression: of the weights and of all else that the run made.")
    text_licence: str | None = Field(
        None, description="SPDX expression of cards, report, scores and samples; that of the weights when not given."
    )
    author: str | None = Field(None, description="Person or organization that publishes the model.")
    url: str | None = Field(None, description="Where the model is published.")
    paper: str | None = Field(None, description="Address of the research paper about the model.")
    paper_licence: str | None = Field(None, description="SPDX expression of the paper.")
    intended_use: str | None = Field(None, description="What the model is meant for, in plain words.")
    limits: tuple[str, ...] = Field((), description="Known limits, beside those that the artifacts show.")
    redistribute: tuple[str, ...] = Field(
        (), description="Licences, as records name them, whose texts may be passed on though the table of licences does not say so."
    )
