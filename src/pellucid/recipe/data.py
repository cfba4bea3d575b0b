"""Sections of the text side: sources, documents, tokenizer, shards."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.cleaning import StepConfig
from pellucid.recipe.documents import SelectConfig
from pellucid.recipe.section import InputSection, Section

__all__ = ["ARCADE100K_TOKENS", "CATEGORIES", "Category", "FimConfig", "ShardsConfig", "SourceConfig", "TokenizerConfig"]

Category = Literal["Academic", "Books", "Web", "Social", "Law", "Math", "Wiki", "Code", "Instruction"]
# 100 256 ranks of cl100k_base, one unused id, 32 special tokens (Stable LM 2 report, section 2.3).
ARCADE100K_TOKENS = 100_289
CATEGORIES: tuple[Category, ...] = ("Academic", "Books", "Web", "Social", "Law", "Math", "Wiki", "Code", "Instruction")


class FimConfig(Section):
    """Fill-in-the-middle (Bavarian et al. 2022): documents cut into prefix, middle and suffix, the middle moved to the end."""

    rate: float = Field(0.5, ge=0, le=1, description="Share of the training documents that are rearranged.")
    spm_frac: float = Field(
        0.5, ge=0, le=1, description="Share of these written suffix first (SPM); the others prefix first (PSM)."
    )


class SourceConfig(InputSection):
    """One row of the data table: where text comes from and how often it is sampled (Stable LM 2 report, Table 1)."""

    weight: float | None = Field(
        None, ge=0, description="Share of what epochs leave open, against the other weights; with mixture.temperature a factor."
    )
    epochs: float | None = Field(
        None,
        ge=0,
        description="Instead of a weight: how often the source is read over the whole run; small ones only nearly so often.",
    )
    max_epochs: float | None = Field(
        None, gt=0, description="A weight gives no more than about this over the whole run; mixture.max_epochs when not given."
    )
    category: Category = Field(description="Domain, as in Table 1 of the Stable LM 2 report.")
    language: str | None = Field(None, description="ISO 639-1 code for records that name none; 'mul' for several.")
    licence: str | None = Field(None, description="SPDX identifier for records that name none.")
    text_column: str = Field("text", min_length=1, description="Column or key that holds the text of a record; nested as a.b.c.")
    template: str | None = Field(
        None, description="Makes the text from a record's fields: 'Q: {q}', a template file (.yaml), or the name of a shipped one."
    )
    html: bool = Field(False, description="The text is HTML: take its main content.")
    on_corrupt: Literal["set_aside", "stop"] = Field(
        "set_aside", description="A record that cannot be read is counted and set aside, or stops the stage."
    )
    clean: tuple[StepConfig, ...] | None = Field(None, description="Steps for this source in place of documents.clean.")
    select: SelectConfig | None = Field(None, description="A subset of what is left of this source.")
    fim: FimConfig | None = Field(None, description="Fill-in-the-middle, for code: some training documents are rearranged.")
    available_tokens: int | None = Field(None, ge=0, description="Tokens of one epoch, for planning before shards exist.")


class TokenizerConfig(Section):
    """The vocabulary: trained on the documents, Arcade100k, or one that a published model brings."""

    kind: Literal["bpe", "arcade100k", "sentencepiece", "huggingface", "gguf"] = Field(
        "bpe",
        description="'bpe': trained on this run's documents; 'arcade100k': cl100k's ranks; 'sentencepiece': a .model file; "
        "'huggingface': a tokenizer.json; 'gguf': the one inside a GGUF file.",
    )
    path: str | None = Field(
        None, description="sentencepiece, huggingface, gguf: the file, or the folder that holds it, relative to the recipe."
    )
    hub: str | None = Field(None, description="The model on the Hugging Face hub that it comes from; enough for a plan.")
    eos: str | None = Field(None, description="Name of the token that ends a document, where the files leave it open.")
    vocab_tokens: int = Field(8192, ge=512, description="Size of the vocabulary, special tokens included.")
    train_bytes: int = Field(
        64_000_000, ge=1, description="A trained vocabulary sees at most this much text, spread over all sources."
    )


class ShardsConfig(Section):
    """From documents to token shards."""

    shard_tokens: int = Field(
        100_000_000, ge=1024, description="A shard file is closed at the first document end after this many tokens."
    )
    max_special_frac: float = Field(
        0.05, gt=0, le=1, description="Refuse a source whose share of special tokens is above this (TinyLlama's EOS mistake)."
    )
