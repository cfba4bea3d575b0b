"""Fill-in-the-middle: documents cut in three, the middle moved to the end, so that a model learns to write between two texts.

Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle": on whole documents, before they are packed,
cut at two characters drawn uniformly (section 3). Prefix first (PSM): ⟨prefix⟩ P ⟨suffix⟩ S ⟨middle⟩ M. Suffix first (SPM), in
the variant that shares its beginning with PSM: ⟨prefix⟩ ⟨suffix⟩ S ⟨middle⟩ P M. The parts are encoded one by one, so a cut may
fall inside what would have been one token.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np

from pellucid.core.errors import UsageError
from pellucid.core.seeds import derive_seed
from pellucid.recipe.data import FimConfig
from pellucid.recipe.vocabulary import FIM_NAMES

__all__ = ["Cut", "Cutter", "FimTokens", "Rearranged", "check_parts", "cutter_for", "encode_rearranged"]

Form = Literal["psm", "spm"]
EncodeBatch = Callable[[list[str]], tuple[np.ndarray, np.ndarray]]

# Small letters, single blanks, nothing to normalise: only what joins or parts words tells vocabularies apart here.
_PROBES = (("def add(a, b):\n    ret", "urn a ", "+ b\n"), ("import", "ant", " news"))


class _Document(Protocol):
    @property
    def text(self) -> str:
        """The text."""

    @property
    def digest(self) -> str:
        """sha256 of the text."""


@dataclass(frozen=True)
class FimTokens:
    """The three tokens' names and ids."""

    prefix: tuple[str, int]
    middle: tuple[str, int]
    suffix: tuple[str, int]

    @property
    def names(self) -> tuple[str, str, str]:
        """The names."""
        return self.prefix[0], self.middle[0], self.suffix[0]

    @property
    def ids(self) -> tuple[int, int, int]:
        """The ids, in the same order."""
        return self.prefix[1], self.middle[1], self.suffix[1]


@dataclass(frozen=True)
class Cut:
    """One document's fate: prefix is `text[:start]`, middle `text[start:end]`, suffix `text[end:]`, written in this form."""

    form: Form
    start: int
    end: int


@dataclass(frozen=True)
class Cutter:
    """Decides which documents are rearranged, and how: a pure function of the seed and of a document's digest."""

    config: FimConfig
    seed: int
    tokens: FimTokens

    def cut(self, document: _Document) -> Cut | None:
        """Return how a document is cut; None leaves it as it is. Parts can be empty, as cuts fall on either end too."""
        drawn = blake2b(bytes.fromhex(document.digest), digest_size=32, key=self.seed.to_bytes(8, "little")).digest()
        chosen, form, one, two = np.frombuffer(drawn, "<u8").tolist()
        if chosen >= self.config.rate * 2**64:
            return None
        # A 64-bit number times n + 1, over 2^64, is a place from 0 to n.
        places = sorted(number * (len(document.text) + 1) >> 64 for number in (one, two))
        return Cut("spm" if form < self.config.spm_frac * 2**64 else "psm", places[0], places[1])


@dataclass(frozen=True)
class Rearranged:
    """Encoded documents: the parts' own tokens for the guard, the tokens as they are stored, and how many took each form.

    `ids` and `offsets` (n + 1) delimit documents; `part_ids` and `part_offsets` delimit the parts in the order of `part_owner`,
    which names each part's document.
    """

    ids: np.ndarray
    offsets: np.ndarray
    part_ids: np.ndarray
    part_offsets: np.ndarray
    part_owner: list[int]
    counts: dict[str, int]


def cutter_for(config: FimConfig, seed: int, source: str, special: Mapping[str, int]) -> Cutter:
    """Return the cutter of one source. Raises `UsageError` where the vocabulary has no tokens for it."""
    for names in FIM_NAMES:
        if all(name in special for name in names):
            prefix, middle, suffix = ((name, special[name]) for name in names)
            return Cutter(config, derive_seed(seed, "fim", source), FimTokens(prefix, middle, suffix))
    known = ", or ".join(" ".join(names) for names in FIM_NAMES)
    raise UsageError(
        f"sources[{source}].fim: the vocabulary has no special tokens for it; it needs {known}. "
        "Use tokenizer.kind: bpe or arcade100k, which have them, or leave fim out"
    )


def check_parts(source: str, encode_batch: EncodeBatch, decode_bytes: Callable[[Iterable[int]], bytes]) -> None:
    """Raise `UsageError` where texts encoded apart do not come back as one: a space before each would part what was cut.

    `decode_bytes` gives the bytes that ids add after other text.
    """
    for parts in _PROBES:
        text, back = "".join(parts), decode_bytes(encode_batch(list(parts))[0].tolist()).decode(errors="replace")
        if back != text:
            raise UsageError(
                f"sources[{source}].fim: with this vocabulary, {text!r} encoded in three parts comes back as {back!r}. Most likely "
                "it puts a space before every text, so a model would learn spaces where documents are cut. Leave fim out, or take "
                "a vocabulary that adds no space (tokenizer.kind: bpe, arcade100k, or another tokenizer.json)"
            )


def encode_rearranged(documents: Sequence[_Document], encode_batch: EncodeBatch, cutter: Cutter) -> Rearranged:
    """Encode documents, those that the cutter chooses in three parts with the special tokens between them."""
    cuts = [cutter.cut(document) for document in documents]
    texts: list[str] = []
    owner: list[int] = []
    for number, (document, cut) in enumerate(zip(documents, cuts, strict=True)):
        parts = [document.text] if cut is None else _parts(document.text, cut)
        texts += parts
        owner += [number] * len(parts)
    part_ids, part_offsets = encode_batch(texts)
    rows = np.split(part_ids, part_offsets[1:-1]) if texts else []
    pieces: list[np.ndarray] = [np.empty(0, dtype=part_ids.dtype)]
    lengths: list[int] = []
    counts: dict[str, int] = {"psm": 0, "spm": 0}
    marks = [np.array([number], dtype=part_ids.dtype) for number in cutter.tokens.ids]
    place = 0
    for cut in cuts:
        if cut is None:
            own = [rows[place]]
            place += 1
        else:
            own = _arrange(cut.form, rows[place : place + 3], marks)
            counts[cut.form] += 1
            place += 3
        pieces += own
        lengths.append(sum(map(len, own)))
    offsets = np.cumsum([0, *lengths], dtype=np.int64)
    return Rearranged(np.concatenate(pieces), offsets, part_ids, part_offsets, owner, counts)


def _parts(text: str, cut: Cut) -> list[str]:
    return [text[: cut.start], text[cut.start : cut.end], text[cut.end :]]


def _arrange(form: Form, parts: Sequence[np.ndarray], marks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Put prefix, middle and suffix into their order, each mark before what it announces."""
    prefix, middle, suffix = parts
    to_prefix, to_middle, to_suffix = marks
    if form == "psm":
        return [to_prefix, prefix, to_suffix, suffix, to_middle, middle]
    return [to_prefix, to_suffix, suffix, to_middle, prefix, middle]
