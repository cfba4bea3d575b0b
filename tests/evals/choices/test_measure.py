from typing import Any

import pytest

from pellucid.evals.choices.item import choice_item, closing_item, text_item
from pellucid.evals.choices.measure import items_digest, measure, tasks_to_json
from pellucid.evals.choices.tasks import LoadedTask

TASK = LoadedTask("cats", tuple(choice_item(str(n), "the", ["cat", "dog"], n % 2) for n in range(4)), {"path": "cats.jsonl"})
CLOSING = LoadedTask("last", (closing_item("0", "the ca", "t", delimiter=""), closing_item("1", "a", "z")), {})


def test_a_measurement_is_compact_and_its_figures_are_means_over_items(bigrams: Any) -> None:
    found = measure(bigrams, [TASK, CLOSING])
    assert found.keys() == {"cats", "last"}
    cats, last = found["cats"], found["last"]
    assert (cats["items"], len(cats["nats"]), cats["metrics"]["acc"]) == (4, 4, 0.5)
    assert "greedy" not in cats and last["greedy"] == [1, 0] and last["metrics"]["acc"] == 0.5
    bits = sum(bigrams.loglikelihoods([item.pairs[item.label]])[0].nats for item in TASK.items) / 0.6931471805599453
    assert cats["metrics"]["bits_per_byte"] == pytest.approx(bits / 16, abs=1e-5)


def test_the_digest_follows_items_and_labels(bigrams: Any) -> None:
    turned = [choice_item(str(n), "the", ["cat", "dog"], 1 - n % 2) for n in range(4)]
    assert len({items_digest(TASK.items), items_digest(turned), items_digest(TASK.items[:3])}) == 3
    assert measure(bigrams, [TASK])["cats"]["digest"] == tasks_to_json([TASK])["cats"]["digest"]


def test_texts_are_read_whole(bigrams: Any) -> None:
    task = LoadedTask("texts", (text_item("0", "the cat"), text_item("1", "the dog sat")), {})
    assert measure(bigrams, [task])["texts"]["tokens"] == 18
