"""Sections of the cleaning steps: an ordered list of them is what happens to a document between reading and deduplication.

Each step's file in `documents/cleaning/` says where its rules and thresholds come from.
"""

from typing import Annotated, Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = [
    "BoilerplateStep",
    "C4Step",
    "FineWebStep",
    "GopherQualityStep",
    "GopherRepetitionStep",
    "LanguageStep",
    "PerplexityStep",
    "PiiStep",
    "StepConfig",
    "UnicodeStep",
]


class UnicodeStep(Section):
    """Repair of encoding damage and whitespace; the text changes, documents that stay damaged are dropped."""

    step: Literal["unicode"] = Field(description="This step: repair of encoding damage and whitespace.")
    form: Literal["nfc", "nfkc", "none"] = Field("nfc", description="Unicode normalisation form.")
    mend_mojibake: bool = Field(True, description="Undo UTF-8 that was read as Latin-1 or Windows-1252 (Ã© for é).")
    max_replacement_frac: float = Field(0.001, ge=0, le=1, description="Drop documents with a larger share of U+FFFD than this.")


class BoilerplateStep(Section):
    """Removal of lines that belong to a page and not to its text (RefinedWeb, line-wise corrections)."""

    step: Literal["boilerplate"] = Field(description="This step: removal of lines that are navigation, counters, buttons, notices.")
    max_removed_frac: float = Field(0.05, ge=0, le=1, description="Drop a document when more than this share of its words went.")


class LanguageStep(Section):
    """Language identification."""

    step: Literal["language"] = Field(description="This step: language identification.")
    keep: tuple[str, ...] | None = Field(None, description="ISO 639-1 codes to keep; null keeps all and only records the language.")
    min_score: float = Field(
        0.65, ge=0, le=1, description="A language less certain than this is not recorded; with keep, the document goes (FineWeb)."
    )
    trust_record: bool = Field(False, description="Believe a language that the record itself names, and do not look.")


class GopherQualityStep(Section):
    """Document rules of Gopher (Rae et al. 2021, Appendix A1.1)."""

    step: Literal["gopher_quality"] = Field(description="This step: the document rules of Gopher.")
    min_words: int = Field(50, ge=0, description="Fewest words that are not symbols only.")
    max_words: int = Field(100_000, ge=1, description="Most words that are not symbols only.")
    min_mean_word_chars: float = Field(3, ge=0, description="Shortest mean word.")
    max_mean_word_chars: float = Field(10, gt=0, description="Longest mean word.")
    max_symbol_word_ratio: float = Field(0.1, ge=0, description="Most hash signs, and most ellipses, per word.")
    max_bullet_line_frac: float = Field(0.9, ge=0, le=1, description="Largest share of lines that begin with a bullet.")
    max_ellipsis_line_frac: float = Field(0.3, ge=0, le=1, description="Largest share of lines that end with an ellipsis.")
    min_alpha_word_frac: float = Field(0.8, ge=0, le=1, description="Smallest share of words with a letter.")
    min_stop_words: int = Field(2, ge=0, description="Fewest different stop words of the document's language.")


class GopherRepetitionStep(Section):
    """Repetition rules of Gopher (Rae et al. 2021, Table A1)."""

    step: Literal["gopher_repetition"] = Field(description="This step: the repetition rules of Gopher.")
    max_dup_line_frac: float = Field(0.3, ge=0, le=1, description="Largest share of lines that repeat an earlier one.")
    max_dup_paragraph_frac: float = Field(0.3, ge=0, le=1, description="Largest share of paragraphs that repeat an earlier one.")
    max_dup_line_char_frac: float = Field(0.2, ge=0, le=1, description="Largest share of characters in such lines.")
    max_dup_paragraph_char_frac: float = Field(0.2, ge=0, le=1, description="Largest share of characters in such paragraphs.")
    max_top_ngram_char_frac: dict[int, float] = Field(
        {2: 0.2, 3: 0.18, 4: 0.16}, description="By n: largest share of characters in the most frequent n-gram of words."
    )
    max_dup_ngram_char_frac: dict[int, float] = Field(
        {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        description="By n: largest share of characters in n-grams of words that repeat an earlier one.",
    )


class C4Step(Section):
    """Line and document rules of C4 (Raffel et al. 2020, section 2.2); lines that fail go, documents that fail are dropped."""

    step: Literal["c4"] = Field(description="This step: the rules of C4.")
    terminal_punctuation: bool = Field(True, description="Remove lines that do not end like a sentence.")
    remove_citations: bool = Field(True, description="Remove marks like [1], [edit] and [citation needed].")
    min_sentences: int = Field(5, ge=0, description="Fewest sentences of a document.")
    min_words_per_line: int = Field(3, ge=0, description="Remove shorter lines.")
    max_word_chars: int = Field(1000, ge=1, description="Remove lines with a longer word.")
    drop_lorem_ipsum: bool = Field(True, description="Drop documents with 'lorem ipsum'.")
    drop_curly_bracket: bool = Field(True, description="Drop documents with a '{'. Set to false for code.")
    remove_javascript: bool = Field(True, description="Remove lines that speak of javascript.")
    remove_policy: bool = Field(True, description="Remove lines of cookie and privacy notices.")


class FineWebStep(Section):
    """The rules that FineWeb added (Penedo et al. 2024, section 3.5)."""

    step: Literal["fineweb"] = Field(description="This step: the rules of FineWeb.")
    min_punctuated_line_frac: float = Field(0.12, ge=0, le=1, description="Smallest share of lines that end with punctuation.")
    short_line_chars: int = Field(30, ge=0, description="A line of at most this many characters is short.")
    max_short_line_frac: float = Field(0.67, ge=0, le=1, description="Largest share of short lines.")
    max_dup_line_char_frac: float = Field(0.01, ge=0, le=1, description="Largest share of characters in repeated lines.")
    max_newline_word_ratio: float = Field(0.3, ge=0, description="Most line ends per word.")


class PiiStep(Section):
    """Masking of personal data."""

    step: Literal["pii"] = Field(description="This step: masking of personal data.")
    kinds: tuple[Literal["email", "ip", "phone", "iban", "card"], ...] = Field(
        ("email", "ip"), min_length=1, description="What is masked; email and ip as in FineWeb, the others are less certain."
    )


class PerplexityStep(Section):
    """Perplexity under a KenLM model; `select` of a source can then keep the least perplexing documents (Stable LM 2's FanFics)."""

    step: Literal["perplexity"] = Field(description="This step: perplexity under a KenLM model.")
    model: str = Field(description="ARPA or KenLM binary file, relative to the recipe.")
    sentencepiece: str | None = Field(None, description="SentencePiece model that cuts the text first, as CCNet's models expect.")
    normalise: bool = Field(True, description="Lower-case, digits to 0, no accents: the way CCNet's models were trained.")
    max_perplexity: float | None = Field(None, gt=0, description="Drop documents above this; null only scores.")


StepConfig = Annotated[
    UnicodeStep
    | BoilerplateStep
    | LanguageStep
    | GopherQualityStep
    | GopherRepetitionStep
    | C4Step
    | FineWebStep
    | PiiStep
    | PerplexityStep,
    Field(discriminator="step"),
]
