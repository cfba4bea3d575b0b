"""Sections of a self-knowledge file: what a model is to know of itself, and the questions that ask for it."""

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["QuestionConfig", "SelfKnowledgeFile", "ShotConfig"]


class ShotConfig(Section):
    """One question as a user asks it, and the answer that states the facts."""

    question: str = Field(min_length=1, description="What the user writes; {name} and the like are filled in from the facts.")
    answer: str = Field(min_length=1, description="What the model is to answer; {name} and the like are filled in from the facts.")


class QuestionConfig(Section):
    """One held-out question, never shown in training, and what tells that its answer is right."""

    question: str = Field(min_length=1, description="What the user writes, in other words than any shot.")
    expect: tuple[str, ...] = Field(
        min_length=1,
        description="The answer is right when it holds one of these, whatever the case; {name} and the like as in shots.",
    )


class SelfKnowledgeFile(Section):
    """A self-knowledge file, in any language or in several (Stable LM 2 report, section 3.3)."""

    about: str = Field("", description="Which model this is about.")
    facts: dict[str, str] = Field(min_length=1, description="Name, maker, limits, date and so on: a key of your own, and its text.")
    first_messages: tuple[str, ...] = Field(
        min_length=4, description="First messages as people write them: a base model sees some before it makes up its own."
    )
    shots: tuple[ShotConfig, ...] = Field(
        min_length=1, description="Questions with answers: the few-shot prompt of the positives, and positives themselves."
    )
    heldout: tuple[QuestionConfig, ...] = Field(min_length=1, description="Questions that measure what was learnt.")
