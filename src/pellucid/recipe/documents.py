"""Section of the documents stage: cleaning, duplicates, decontamination, and how the work is shared out."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.cleaning import StepConfig
from pellucid.recipe.section import Section

__all__ = ["DecontaminateConfig", "DocumentsConfig", "NearDedupConfig", "SelectConfig"]


class SelectConfig(Section):
    """Which documents of a source are kept, after everything else: those with the lowest score, or a random subset."""

    by: Literal["perplexity", "random"] = Field("random", description="perplexity: the lowest first, as Stable LM 2's FanFics.")
    documents: int | None = Field(None, ge=1, description="Keep at most this many documents.")
    bytes: int | None = Field(None, ge=1, description="Keep at most this much text.")


class NearDedupConfig(Section):
    """Near-duplicates: MinHash over runs of words, banded, verified against the whole signature."""

    ngram_words: int = Field(5, ge=1, le=64, description="Words in a shingle.")
    permutations: int = Field(128, ge=16, le=4096, description="Minima in a signature.")
    bands: int = Field(25, ge=1, description="Bands of the signature; documents that agree in one are compared.")
    min_jaccard: float = Field(0.8, gt=0, le=1, description="Documents at least this similar are near-duplicates.")

    @property
    def band_minima(self) -> int:
        """Minima in a band; what is left over of the signature only serves to verify."""
        return self.permutations // self.bands

    def compared_frac(self, jaccard: float) -> float:
        """Return how many of the pairs of this similarity agree in a band and so are compared (Leskovec et al., section 3.4)."""
        return 1 - (1 - jaccard**self.band_minima) ** self.bands


class DecontaminateConfig(Section):
    """Documents that hold questions or answers of benchmarks are dropped, and the hits listed."""

    benchmarks: tuple[str, ...] = Field(min_length=1, description="Files or globs with benchmark items, relative to the recipe.")
    ngram_words: int = Field(13, ge=3, description="A run of this many words in common is a hit (GPT-3, appendix C).")
    min_words: int = Field(8, ge=3, description="Questions from here to ngram_words are a hit when found whole (GPT-3).")
    max_items: int = Field(10, ge=1, description="Words that more items than this have in common, such as a prompt, are no hit.")


class DocumentsConfig(Section):
    """From raw records to documents."""

    heldout_frac: float = Field(0.02, ge=0, lt=1, description="Share of documents held out, chosen by the digest of their text.")
    min_bytes: int = Field(1, ge=1, description="Shorter documents are dropped and counted.")
    max_bytes: int = Field(
        10_000_000,
        ge=1,
        description="Longer documents are dropped and counted; cleaning takes 60 bytes of memory per character of the longest.",
    )
    clean: tuple[StepConfig, ...] = Field((), description="Cleaning steps, in order; a source can have its own.")
    exact_dedup: bool = Field(True, description="Drop a document whose text was already seen, in any source.")
    near_dedup: NearDedupConfig | None = Field(None, description="Drop documents that are nearly the same; null keeps them.")
    keep_copy: Literal["first", "longest"] = Field(
        "first", description="Which of nearly equal documents stays: the first by source, file and record, or the longest."
    )
    decontaminate: DecontaminateConfig | None = Field(None, description="Benchmarks that must not be in the documents.")
    keep_dropped: bool = Field(False, description="Keep the text of what is dropped, to be read with --show-dropped.")
    partition_bytes: int = Field(128_000_000, ge=1, description="Input of one unit of work; memory grows with it.")
    engine: Literal["local", "ray"] = Field("local", description="Who runs the units: this machine's cores, or a Ray cluster.")
    workers: int = Field(0, ge=0, description="Processes; 0 means all cores.")
