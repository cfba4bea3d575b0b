"""Figures against a model that is worked out by hand, and against the harness' definitions written down anew."""

import math
from typing import Any

import numpy as np
import pytest

from pellucid.evals.choices.item import choice_item, closing_item, schema_item, text_item
from pellucid.evals.choices.score import HIGHER_IS_BETTER, METRICS, Scored, figures_of, perplexity, record_of, score_items


def test_every_kind_is_scored_in_the_order_asked(bigrams: Any) -> None:
    items = [text_item("t", "the cat"), choice_item("c", "the", ["cat", "dog"], 1), closing_item("l", "the ca", "t", delimiter="")]
    told: list[int] = []
    text, choice, closing = score_items(bigrams, items, told.append)
    assert sum(told) == 4
    assert text.nats == (bigrams.rolling(["the cat"])[0].nats,) and text.tokens == (7,)
    assert choice.tokens == (4, 4)
    assert closing.nats[0] == pytest.approx(-math.log(bigrams.probability("a", "t")))
    assert closing.greedy  # in the text an a is most often followed by t


def test_accuracies_are_those_of_the_harness() -> None:
    """lm-evaluation-harness: argmax of the log-likelihoods, by itself, over characters, over bytes of the choice."""
    random = np.random.default_rng(0)
    alphabet, differ = np.array(list("abcdeéß天")), 0
    for number in range(300):
        choices = ["".join(random.choice(alphabet, size=random.integers(1, 9))) for _ in range(4)]
        item = choice_item(str(number), "q", choices, int(random.integers(4)))
        nats = random.uniform(0.5, 9, 4)
        found = figures_of(item, Scored(tuple(nats), (1, 1, 1, 1), False)).scores
        chars, bytes_ = np.array([len(one) for one in choices]), np.array([len(one.encode()) for one in choices])
        for name, scores in {"acc": -nats, "acc_norm": -nats / chars, "acc_bytes": -nats / bytes_}.items():
            assert found[name] == float(np.argmax(scores) == item.label)
        differ += found["acc_norm"] != found["acc_bytes"]
        assert found["mass"] == pytest.approx(np.exp(-nats)[item.label] / np.exp(-nats).sum())
    assert differ > 10


def test_the_first_wins_a_tie_as_with_the_harness() -> None:
    for label, right in ((0, 1.0), (1, 0.0)):
        item = choice_item("0", "q", ["aa", "bb"], label)
        assert figures_of(item, Scored((2.0, 2.0), (1, 1), False)).scores["acc"] == right


def test_mass_survives_likelihoods_that_underflow() -> None:
    found = figures_of(choice_item("0", "q", ["a", "b"], 0), Scored((5000.0, 5001.0), (1, 1), False)).scores
    assert found["mass"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_bits_per_byte_counts_what_was_scored() -> None:
    item = closing_item("0", "Es ist", "heiß")
    assert figures_of(item, Scored((6 * math.log(2),), (2,), True)).ratios["bits_per_byte"] == pytest.approx((6.0, 6.0))


def test_the_referents_of_a_schema_are_compared_by_what_follows(bigrams: Any) -> None:
    item = schema_item("0", ["the dog", "the cat"], "sat", 0)
    assert score_items(bigrams, [item])[0].nats == tuple(one.nats for one in bigrams.loglikelihoods(list(item.pairs)))


def test_perplexities_are_by_token_and_by_closing_word() -> None:
    items = [closing_item(str(n), "a", "bc") for n in range(2)]
    records = [record_of("t", item, Scored((nats,), (2,), False)) for item, nats in zip(items, (1.0, 3.0), strict=True)]
    assert perplexity(records) == pytest.approx({"token_perplexity": math.e, "perplexity": math.exp(2)})
    assert perplexity([]) == {}


def test_a_record_holds_what_a_reader_needs_to_check_it() -> None:
    item = choice_item("7", "q", ["aa", "bb"], 1, "physics")
    record = record_of("mmlu", item, Scored((1.123456789, 2.0), (1, 2), False, 3))
    assert (record.task, record.item, record.group, record.dropped_tokens) == ("mmlu", "7", "physics", 3)
    assert record.details == {"nats": [1.12346, 2.0], "tokens": [1, 2], "label": 1} and record.prompt == item.prompt


def test_every_figure_knows_which_way_is_up() -> None:
    assert {name for names in METRICS.values() for name in names} <= HIGHER_IS_BETTER.keys()
