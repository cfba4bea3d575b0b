import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.evals.heldout import Window, score_heldout, window_spans
from pellucid.evals.records import HeldoutDocument, total
from pellucid.export.hf_config import hf_config
from pellucid.model.decoder import Decoder, init_weights
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig

EOS = 256
CONFIG = ModelConfig(
    vocab_tokens=260, context_tokens=16, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=64, norm="layernorm",
    norm_bias=True, rotary_frac=0.5, qkv_bias=True, tied_head=False, init_std=0.3,
)  # fmt: skip
TEXTS = {
    "en": "Snow lay deep before the doors, and nobody went out that day.",
    "de": "Der Schnee lag hoch vor den Türen.",
    "fr": "Là-bas, la neige était haute.",
    "es": "ñ",
}
DOCUMENTS = [
    HeldoutDocument(f"{language}-{copy}", "letters" if copy else "books", language, text + "!" * copy)
    for language, text in TEXTS.items()
    for copy in range(2)
]


def encode_bytes(texts):
    ids = [list(text.encode()) for text in texts]
    return np.array([token for row in ids for token in row], dtype=np.uint32), np.cumsum([0] + [len(row) for row in ids])


@pytest.fixture(scope="module")
def model():
    decoder = Decoder(CONFIG)
    init_weights(decoder, 3)
    return decoder.eval()


def score(model, documents=DOCUMENTS, *, seq_tokens=16, stride_tokens=8, batch_tokens=64):
    return score_heldout(model, encode_bytes, EOS, documents, window=Window(seq_tokens, stride_tokens), batch_tokens=batch_tokens)


class Uniform(torch.nn.Module):
    def forward(self, ids_BT):
        return torch.zeros(*ids_BT.shape, 2)

    def logits(self, x_BTD):
        return torch.zeros(*x_BTD.shape[:-1], 512)


@given(st.integers(0, 200), st.integers(1, 40), st.data())
def test_windows_score_every_token_once_with_the_context_they_promise(tokens, seq_tokens, data):
    window = Window(seq_tokens, data.draw(st.integers(1, seq_tokens)))
    spans = list(window_spans(tokens, window))
    scored = [target for start, end, first in spans for target in range(first, end)]
    assert scored == list(range(tokens))
    for start, end, first in spans:
        assert end - start <= seq_tokens
        assert start == 0 or first - start >= seq_tokens - window.stride_tokens
    assert all(end < later_end for (_, end, _), (_, later_end, _) in pairwise(spans))


def test_scores_equal_a_loop_that_asks_transformers_for_one_token_at_a_time(model):
    transformers = pytest.importorskip("transformers")
    values = hf_config(CONFIG)
    oracle = transformers.StableLmForCausalLM(transformers.StableLmConfig(**values)).eval()
    oracle.load_state_dict(to_hf(model.state_dict(), CONFIG))
    for document, found in zip(DOCUMENTS, score(model), strict=True):
        ids = list(document.text.encode())
        nats = 0.0
        for start, end, first in window_spans(len(ids), Window(16, 8)):
            for target in range(first, end):
                context = [EOS, *ids][start : target + 1]
                with torch.no_grad():
                    logits = oracle(torch.tensor([context])).logits[0, -1].double()
                nats -= float(torch.log_softmax(logits, -1)[ids[target]])
        assert found.nats == pytest.approx(nats, rel=1e-5)
        assert (found.id, found.bytes, found.tokens) == (document.id, len(ids), len(ids))


def test_a_uniform_model_needs_exactly_log2_of_the_vocabulary_for_each_token():
    halves = lambda texts: (np.zeros(sum(len(t) // 2 for t in texts), int), np.cumsum([0] + [len(t) // 2 for t in texts]))  # noqa: E731
    documents = [HeldoutDocument(str(n), "s", "en", "x" * n) for n in (40, 8, 100)]
    sums = total(score_heldout(Uniform(), halves, EOS, documents, window=Window(16, 8), batch_tokens=64))
    assert sums.bits_per_byte == pytest.approx(9 * 74 / 148, rel=1e-7)
    assert sums.perplexity == pytest.approx(512, rel=1e-6)
    assert sums.tokens == 74


def test_batching_order_and_company_change_nothing(model):
    together = {row.id: row.nats for row in score(model)}
    backwards = {row.id: row.nats for row in score(model, DOCUMENTS[::-1], batch_tokens=1)}
    alone = {row.id: row.nats for document in DOCUMENTS for row in score(model, [document], batch_tokens=10**6)}
    assert backwards == pytest.approx(together, rel=1e-6)
    assert alone == pytest.approx(together, rel=1e-6)


def test_a_document_that_fits_the_window_scores_the_same_whatever_the_stride(model):
    short = [document for document in DOCUMENTS if len(document.text.encode()) <= 16]
    assert short
    scores = [total(score(model, short, stride_tokens=stride)).nats for stride in (1, 8, 16)]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-6)


def test_the_end_of_a_document_is_context_but_is_not_scored(model):
    seen = []

    class Recorder(Uniform):
        def forward(self, ids_BT):
            seen.append(ids_BT)
            return super().forward(ids_BT)

    (found,) = score(Recorder(), [HeldoutDocument("a", "s", "en", "abc")])
    assert [row.tolist() for row in seen] == [[[EOS, 97, 98]]]
    assert found.nats == pytest.approx(3 * math.log(512))


def test_a_document_without_text_is_left_out(model):
    found = score(model, [HeldoutDocument("empty", "s", "en", ""), DOCUMENTS[0]])
    assert [row.id for row in found] == [DOCUMENTS[0].id]
    assert score(model, []) == []


def test_a_stride_that_skips_tokens_is_refused():
    with pytest.raises(DataError, match=r"stride_tokens is 17; it must lie between 1 and evaluate\.seq_tokens = 16"):
        Window(16, 17)
