"""Perplexity under a KenLM model, by which a source's most ordinary documents can be selected.

CCNet (Wenzek et al. 2020, section 4.2) scores documents with a 5-gram Kneser-Ney model of Wikipedia over SentencePiece pieces;
Stable LM 2 kept the least perplexing of FanFics so. Text is normalised as CCNet's code does before it asks such a model: lower
case, no accents, digits as 0, typographic punctuation as ASCII, no control characters. A document's perplexity is 10 to the power
of -(sum of log10 p of its lines) / (their words + one end of line each). Empty lines do not count, whereas CCNet gives the model
all of a document as one line.
"""

import re
import sys
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.normal import normal_form
from pellucid.recipe.cleaning import PerplexityStep

__all__ = ["Perplexity", "normalise"]

_PUNCTUATION = str.maketrans(
    {
        **dict.fromkeys("„”“«»」「《》", '"'),
        **dict.fromkeys("´’", "'"),
        **dict.fromkeys("∶：", ":"),
        **dict.fromkeys("–━►", "-"),
        **dict.fromkeys("，、", ","),
    }
    | {"。": ".", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";", "～": "~", "％": "%"}
    | {"—": " - ", "．": ". ", "…": "...", "〈": "<", "〉": ">", "【": "[", "】": "]"}
)
_TYPOGRAPHIC = re.compile(f"[{re.escape(''.join(map(chr, _PUNCTUATION)))}]")
_LATIN_MARKS = re.compile("[\u0300-\u036f]+")
_OTHER_SCRIPTS = re.compile("[\u0483-\u1fff\u2070-\U0010ffff]")
_DIGITS = re.compile(r"\d")
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Perplexity:
    """The model, and the SentencePiece model where the section names one, loaded once a process; paths are relative to `base`.

    Raises `MissingExtraError` without kenlm (or sentencepiece), `DataError` when a file is missing or no model.
    """

    def __init__(self, config: PerplexityStep, base: Path) -> None:
        self.config = config
        try:
            import kenlm
        except ModuleNotFoundError as error:
            raise MissingExtraError("kenlm-ex", "clean", "the perplexity step") from error
        options = kenlm.Config()
        options.show_progress = False
        options.arpa_complain = kenlm.ARPALoadComplain.NONE
        try:
            self._model = kenlm.Model(str(base / config.model), options)
        except OSError as error:
            raise DataError(f"perplexity.model: {base / config.model} cannot be read as an ARPA or KenLM file: {error}") from error
        self._pieces = None
        if config.sentencepiece is not None:
            try:
                import sentencepiece
            except ModuleNotFoundError as error:
                raise MissingExtraError("sentencepiece", "clean", "the perplexity step's SentencePiece model") from error
            try:
                self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(base / config.sentencepiece))
            except (OSError, RuntimeError) as error:
                raise DataError(f"perplexity.sentencepiece: {base / config.sentencepiece} cannot be read: {error}") from error

    def __call__(self, text: str) -> float:
        """Return the text's perplexity; NaN when it has no word."""
        log10, tokens = 0.0, 0
        for line in (normalise(text) if self.config.normalise else text).split("\n"):
            if not line.strip():
                continue
            words = " ".join(self._pieces.encode(line, out_type=str)) if self._pieces is not None else line
            log10 += self._model.score(words)
            tokens += len(words.split()) + 1
        return float(10.0 ** (-log10 / tokens)) if tokens else float("nan")

    def apply(self, batch: TextBatch) -> None:
        """Put the perplexities into `scores["perplexity"]`; drop documents above `max_perplexity` ("perplexity: too high")."""
        scores_N = batch.scores.setdefault("perplexity", np.full(len(batch), np.nan))
        for row in batch.rows:
            scores_N[row] = self(batch.texts[row])
        if self.config.max_perplexity is not None:
            batch.drop_where(scores_N > self.config.max_perplexity, "perplexity: too high", scores_N)


def normalise(text: str) -> str:
    """Return the text as CCNet's models expect it, line by line; line ends stay."""
    text = text.lower()
    if not text.isascii():
        text = _LATIN_MARKS.sub("", normal_form(text, "NFD"))
        if _OTHER_SCRIPTS.search(text):
            text = _marks().sub("", text)
        text = _TYPOGRAPHIC.sub(lambda match: match[0].translate(_PUNCTUATION), text)
    return _CONTROLS.sub("", _DIGITS.sub("0", text))


@cache
def _marks() -> re.Pattern[str]:
    """Return what matches one or more marks without width (category Mn)."""
    ranges: list[list[int]] = []
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Mn":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + "]+")
