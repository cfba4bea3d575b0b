import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pellucid.core.progress import progress
from pellucid.evals.choices.item import choice_item
from pellucid.evals.local import LocalModel
from pellucid.export.comparing import (
    compare_answers,
    compare_conversations,
    compare_distributions,
    compare_strings,
    kl_divergences,
    windows_of,
)
from pellucid.export.probes import Probe, probe_texts
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.model.decoder import Decoder

LOGITS = hnp.arrays(np.float64, (3, 6), elements=st.floats(-20, 20))


@given(LOGITS, LOGITS)
def test_the_divergence_is_torchs_never_negative_and_nothing_between_equals(ours, theirs):
    ours_TV, theirs_TV = log_softmax(ours), log_softmax(theirs)
    expected = torch.nn.functional.kl_div(
        torch.from_numpy(theirs_TV), torch.from_numpy(ours_TV), log_target=True, reduction="none"
    ).sum(1)
    found, largest = kl_divergences(ours_TV, theirs_TV)
    np.testing.assert_array_equal(largest, np.abs(ours_TV - theirs_TV).max(1))
    np.testing.assert_allclose(found, expected.clamp_min(0).numpy(), atol=1e-9)
    assert (found >= 0).all()
    assert kl_divergences(ours_TV, ours_TV)[0].max() < 1e-15
    np.testing.assert_allclose(kl_divergences(ours_TV, theirs_TV + 1e-4)[0], found, atol=1e-9)


def test_a_row_that_is_no_number_stays_none():
    bad = log_softmax(np.array([[0.0, math.nan], [0.0, 0.0]]))
    assert np.isnan(kl_divergences(log_softmax(np.zeros((2, 2))), bad)[0]).tolist() == [True, False]


@pytest.fixture
def ours(stablelm, tokenizer):
    return DecoderRuntime(stablelm.model, tokenizer)


@pytest.fixture
def warmer(stablelm, tokenizer):
    """The same model with logits 0.8 times as large: its divergence has a closed form."""
    model = Decoder(stablelm.config)
    model.load_state_dict(stablelm.state | {"head.weight": stablelm.state["head.weight"] * 0.8})
    return DecoderRuntime(model, tokenizer)


def test_windows_take_the_beginnings_first_and_no_more_than_they_may(ours, tokenizer):
    documents = [" ".join(probe_texts()[:60]), " ".join(probe_texts()[60:90]), ""]
    windows = windows_of(ours, Probe([], documents, tokens=100, window_tokens=30), 64, 608)
    assert sum(map(len, windows)) == 100
    assert all(2 <= len(window) <= 30 for window in windows)
    ids = [[tokenizer.eos_id, *tokenizer.encode(text)] for text in documents]
    assert windows[:3] == [ids[0][:30], ids[1][:30], ids[0][30:60]]
    assert max(map(len, windows_of(ours, Probe([], documents), 16, 608))) == 15
    assert windows_of(ours, Probe([], [""]), 64, 608) == []


def test_distributions_and_perplexity_are_those_of_a_direct_computation(ours, warmer, stablelm, tokenizer):
    windows = [tokenizer.encode(text) for text in probe_texts()[:3]]
    with progress("t") as bar:
        found = compare_distributions(warmer, ours, windows, bar)
        same = compare_distributions(ours, ours, windows, bar)
    kl, nats, targets = [], [], 0
    for ids in windows:
        logits = stablelm.model.logits(stablelm.model(torch.tensor([ids])))[0].detach().double()
        p, q = logits.log_softmax(-1), (0.8 * logits).log_softmax(-1)
        kl += (p.exp() * (p - q)).sum(-1).tolist()
        nats.append([float(torch.nn.functional.cross_entropy(one[:-1], torch.tensor(ids[1:]), reduction="sum")) for one in (p, q)])
        targets += len(ids) - 1
    assert found["positions"] == sum(map(len, windows))
    for name, expected in (
        ("mean", np.mean(kl)), ("median", np.median(kl)), ("p99", np.percentile(kl, 99)), ("max", np.max(kl)),
    ):  # fmt: skip
        assert found["kl_nats"][name] == pytest.approx(expected, rel=1e-4)
    both = np.exp(np.sum(nats, 0) / targets)
    assert [found["perplexity"][name] for name in ("checkpoint", "export")] == pytest.approx(both, rel=1e-5)
    assert found["perplexity"]["tokens"] == targets
    assert found["same_top_token_frac"] == 1  # a temperature moves no rank
    assert same["kl_nats"]["max"] < 1e-14
    assert (same["largest_log_probability_difference"], same["perplexity"]["ratio"]) == (0, 1)


def test_a_model_that_gives_no_numbers_has_no_figures_that_could_pass(ours, stablelm, tokenizer):
    broken = Decoder(stablelm.config)
    broken.load_state_dict(stablelm.state | {"norm.weight": torch.full_like(stablelm.state["norm.weight"], math.nan)})
    with progress("t") as bar:
        found = compare_distributions(DecoderRuntime(broken, tokenizer), ours, [[1, 2, 3], [4, 5]], bar)
    assert math.isnan(found["kl_nats"]["mean"])
    assert math.isnan(found["largest_log_probability_difference"])


def test_strings_with_other_ids_are_counted_and_the_first_is_shown_where_it_parts(ours):
    class Other:
        def encode(self, text):
            return [*ours.encode(text)[:-1], 0] if "river" in text else ours.encode(text)

    texts = ["a town", "the river bed", "a river"]
    found = compare_strings(Other(), ours, texts)
    ids = ours.encode(texts[1])
    assert (found["compared"], found["equal"]) == (3, 1)
    assert found["first_difference"] == {"text": texts[1], "at": len(ids) - 1, "export": [0], "checkpoint": ids[-1:]}
    assert compare_strings(ours, ours, texts)["first_difference"] is None


def test_strings_with_other_ids_that_are_known_are_counted_apart(ours):
    class Other:
        def encode(self, text):
            return [*ours.encode(text)[:-1], 0] if "river" in text else ours.encode(text)

    def known(text, own, others):
        return text == "a river" and own == ours.encode(text) and others == [*own[:-1], 0]

    found = compare_strings(Other(), ours, ["a town", "a river", "the river bed"], known)
    assert (found["compared"], found["equal"], found["known_otherwise"]) == (3, 1, 1)
    assert found["first_difference"]["text"] == "the river bed"


def test_a_base_model_has_no_conversations_to_compare(ours):
    found = compare_conversations(ours, ours, Probe([], [], [[{"role": "user", "content": "hi"}]]))
    nothing = {"left_out": 0, "refused": 0, "compared": 0, "equal": 0, "known_otherwise": 0, "first_difference": None}
    assert found == {"has_template": True, **nothing}


def test_answers_are_scored_as_the_evaluation_scores_them(ours, warmer, stablelm, tokenizer):
    texts = [text for text in probe_texts() if len(text) > 30 and text.isprintable()]
    items = [choice_item(str(n), texts[n][:15], [texts[n + k][15:30].strip() for k in range(3)], n % 3) for n in range(8)]
    found = compare_answers(warmer, ours, items, 64)
    accuracies, nats = [], []
    for runtime in (ours, warmer):
        model = LocalModel(runtime._model, tokenizer, begins_texts=True)
        scores = [[one.nats for one in model.loglikelihoods(item.pairs)] for item in items]
        accuracies.append(np.mean([np.argmin(one) == item.label for one, item in zip(scores, items, strict=True)]))
        nats.append([one[item.label] for one, item in zip(scores, items, strict=True)])
    assert [found["checkpoint_accuracy"], found["export_accuracy"]] == pytest.approx(accuracies)
    bits = (np.array(nats[0]) - np.array(nats[1])) / math.log(2)
    assert found["bits"] == pytest.approx({"mean": bits.mean(), "mean_size": np.abs(bits).mean()}, rel=1e-3)
    assert compare_answers(ours, ours, items, 64)["same_choice_frac"] == 1
    assert compare_answers(warmer, ours, items, 8)["questions"] == 8  # cut to a context that is too short for them
