"""Sections of the chat side: the format in which conversations are written, and where they come from."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import InputSection, Section

__all__ = ["TEMPLATES", "ChatConfig", "ConversationConfig"]

TEMPLATES = ("chatml", "zephyr", "plain", "tokenizer")
"""Chat templates that are no files of the recipe's: the shipped ones, and the one that comes with a vocabulary."""


class ChatConfig(Section):
    """How a conversation is written as tokens."""

    template: str = Field(
        "chatml",
        min_length=1,
        description="A shipped template (chatml, zephyr, plain), a Jinja file relative to the recipe, or 'tokenizer': the one that "
        "an imported vocabulary brings along.",
    )
    system: str | None = Field(None, description="System prompt of conversations that have none of their own.")


class ConversationConfig(InputSection):
    """One source of conversations or of preference pairs (Stable LM 2 report, Table 6)."""

    shape: Literal["auto", "messages", "sharegpt", "alpaca", "pairs"] = Field(
        "auto",
        description="How a record is laid out. messages: role and content; sharegpt: from and value; alpaca: instruction, input, "
        "output; pairs: a prompt with a chosen and a rejected answer. auto: told by the first record.",
    )
    fields: dict[str, str] = Field(
        {}, description="Names of the record's fields where they differ from the shape's: {instruction: question, output: answer}."
    )
    language: str | None = Field(None, description="ISO 639-1 code for records that name none; 'mul' for several.")
    licence: str | None = Field(None, description="SPDX identifier for records that name none.")
    max_turns: int = Field(8, ge=1, description="Conversations with more messages of user and assistant are dropped and counted.")
    min_chosen_score: float | None = Field(
        None, description="Pairs: a chosen answer with a lower score, or with none, is dropped and counted (the report: 8)."
    )
    drop_ties: bool = Field(True, description="Pairs whose two scores are equal are dropped and counted.")
    heldout_frac: float = Field(0.02, ge=0, lt=1, description="Share held out, chosen by the digest of what was asked.")
    max_examples: int | None = Field(None, ge=1, description="Keep at most this many, chosen by the digest; for quick trials.")
    available_examples: int | None = Field(None, ge=1, description="Examples that are kept, for planning before they are read.")
    available_tokens: int | None = Field(None, ge=1, description="Tokens of these examples, for planning.")

    @property
    def holds_pairs(self) -> bool | None:
        """Whether these are preference pairs; None when only the first record will tell."""
        return None if self.shape == "auto" else self.shape == "pairs"
