"""Perplexity under a small ARPA model whose probabilities can be added up by hand."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("kenlm")

from pellucid.core.errors import DataError
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.perplexity import Perplexity, normalise
from pellucid.recipe.cleaning import PerplexityStep

ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-1.0\t<unk>
0\t<s>\t-0.3
-0.9\t</s>
-0.7\tthe\t-0.2
-0.8\tcat\t-0.1
-1.5\t0000

\\2-grams:
-0.2\t<s> the
-0.3\tthe cat
-0.4\tcat </s>
-0.5\tcat the

\\end\\
"""


@pytest.fixture
def step(tmp_path: Path) -> PerplexityStep:
    (tmp_path / "tiny.arpa").write_text(ARPA)
    return PerplexityStep(step="perplexity", model="tiny.arpa")


@pytest.mark.parametrize(
    ("text", "log10", "tokens"),
    [
        ("the cat", -0.2 - 0.3 - 0.4, 3),
        ("The CAT!", -0.2 + (-0.2 - 1.0) - 0.9, 3),  # "cat!" is unknown, after the back-off of "the"
        ("thé\n\n  \ncát", (-0.2 + (-0.2 - 0.9)) + (-0.3 - 0.8 - 0.4), 4),
        ("the 1987", -0.2 + (-0.2 - 1.5) - 0.9, 3),
        ("cat the cat the", -0.3 - 0.8 - 0.5 - 0.3 - 0.5 + (-0.2 - 0.9), 5),
    ],
)
def test_perplexity_is_what_the_models_numbers_add_up_to(
    text: str, log10: float, tokens: int, step: PerplexityStep, tmp_path: Path
) -> None:
    assert Perplexity(step, tmp_path)(text) == pytest.approx(10 ** (-log10 / tokens), rel=1e-6)


def test_without_normalising_capitals_and_accents_are_unknown(step: PerplexityStep, tmp_path: Path) -> None:
    plain = Perplexity(step.model_copy(update={"normalise": False}), tmp_path)
    assert plain("the cat") == pytest.approx(10 ** (0.9 / 3), rel=1e-6)
    assert plain("The cat") > plain("the cat")


def test_scores_are_kept_and_the_most_perplexing_dropped_when_asked(step: PerplexityStep, tmp_path: Path) -> None:
    texts = ["the cat", "zxcv qwer asdf", "\n \n", "the cat\nthe cat"]
    batch = TextBatch(texts, ["en"] * 4)
    batch.drop(3, "gone before")
    Perplexity(step, tmp_path).apply(batch)
    assert batch.alive_N.tolist() == [True, True, True, False]
    assert np.isnan(batch.scores["perplexity"]).tolist() == [False, False, True, True]
    Perplexity(step.model_copy(update={"max_perplexity": 5.0}), tmp_path).apply(batch)
    assert batch.reasons == [None, "perplexity: too high", None, "gone before"]
    assert float(batch.details[1]) == pytest.approx(batch.scores["perplexity"][1], rel=1e-3)


def test_text_is_normalised_as_ccnet_does() -> None:
    assert normalise("ÉCOLE „Größe“ – 12,5 % …\x07\nsecond “line”—x ２") == 'ecole "große" - 00,0 % ...\nsecond "line" - x 0'
    assert normalise("עִבְרִית и́") == "עברית и"
    assert normalise("i̇stanbul 東京、大阪。") == "istanbul 東京,大阪."


def test_pieces_of_a_sentencepiece_model_are_the_words_of_the_language_model(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text.txt").write_text("the cat sat\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text.txt"), model_prefix=str(tmp_path / "sp"), vocab_size=12, model_type="unigram", minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sp.model")).encode("the cat", out_type=str)
    vocabulary = sorted(set(pieces))
    lines = [f"-{0.5 + 0.1 * number:.1f}\t{piece}" for number, piece in enumerate(vocabulary)]
    unigrams = "\n".join(["-2\t<unk>", "0\t<s>", "-0.9\t</s>", *lines])
    counts = f"ngram 1={len(lines) + 3}\nngram 2=1"
    bigrams = "-0.1\t<s> </s>"  # a model needs some
    arpa = f"\\data\\\n{counts}\n\n\\1-grams:\n{unigrams}\n\n\\2-grams:\n{bigrams}\n\n\\end\\\n"
    (tmp_path / "pieces.arpa").write_text(arpa)
    step = PerplexityStep(step="perplexity", model="pieces.arpa", sentencepiece="sp.model")
    log10 = sum(-(0.5 + 0.1 * vocabulary.index(piece)) for piece in pieces) - 0.9
    assert Perplexity(step, tmp_path)("The cat") == pytest.approx(10 ** (-log10 / (len(pieces) + 1)), rel=1e-5)


def test_files_that_are_no_models_are_named(step: PerplexityStep, tmp_path: Path) -> None:
    (tmp_path / "bad.arpa").write_text("hello\n")
    for changes, name in (
        ({"model": "none.arpa"}, "none.arpa"),
        ({"model": "bad.arpa"}, "bad.arpa"),
        ({"sentencepiece": "no.model"}, "no.model"),
    ):
        with pytest.raises(DataError, match=name):
            Perplexity(step.model_copy(update=changes), tmp_path)
