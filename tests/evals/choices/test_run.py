"""The suite: items in, records out, continued where it was cut off, with a model worked out by hand and a decoder."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.evals.choices import run as module
from pellucid.evals.local import LocalModel
from pellucid.evals.results import Records, summarise
from pellucid.evals.subject import Pair, Setting
from pellucid.evals.suites import find_suite
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import ChoicesConfig
from pellucid.tokenizer.training import train_bpe

CATS = [{"context": "the", "choices": ["cat sat", "qqq zzz"], "label": n % 2, "id": f"q{n}"} for n in range(10)]
LINES = [*CATS, {"context": "the ca", "continuation": "t", "delimiter": ""}]


@pytest.fixture
def items(tmp_path: Path) -> str:
    path = tmp_path / "cats.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return str(path)


def test_the_suite_scores_every_item_once_and_says_where_items_come_from(bigrams: Any, items: str, tmp_path: Path) -> None:
    with Records(tmp_path / "records.jsonl") as records:
        facts = find_suite("choices").run(bigrams, ChoicesConfig(tasks=(items,)), Setting(), records)
        found = summarise(records, 1)["cats.jsonl"]
    assert found["items"] == 11
    # Right where the likely choice is the labelled one: five of ten, and the closing letter.
    assert found["metrics"]["acc"]["value"] == pytest.approx(6 / 11)
    assert facts["tasks"]["cats.jsonl"]["items"] == 11
    assert facts["tasks"]["cats.jsonl"]["perplexity"] == pytest.approx(1 / bigrams.probability("a", "t"))


def test_results_name_files_without_the_folders_of_this_machine(bigrams: Any, items: str, tmp_path: Path) -> None:
    other = tmp_path / "other" / "cats.jsonl"
    other.parent.mkdir()
    other.write_text(Path(items).read_text())
    with Records(tmp_path / "records.jsonl") as records:
        facts = module.run(bigrams, ChoicesConfig(tasks=(items, str(other))), Setting(), records)
        assert set(facts["tasks"]) == {record.task for record in records} == {f"{tmp_path.name}/cats.jsonl", "other/cats.jsonl"}
        with pytest.raises(UsageError, match=r"two tasks that are called other/cats\.jsonl"):
            module.run(bigrams, ChoicesConfig(tasks=(str(other), str(other))), Setting(), records)
    told = facts["tasks"]["other/cats.jsonl"]
    assert told["file"] == "cats.jsonl" and len(told["sha256"]["cats.jsonl"]) == 64
    assert str(tmp_path.parent) not in json.dumps(facts) + (tmp_path / "records.jsonl").read_text()


def test_a_suite_that_was_cut_off_keeps_what_is_done_and_asks_only_for_the_rest(
    bigrams: Any, items: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 4)
    bigrams.poison = "t"
    Path(items).write_text("".join(json.dumps({**line, "choices": ["log", "mug"]}) + "\n" for line in CATS) + json.dumps(LINES[-1]))
    config, path = ChoicesConfig(tasks=(items,)), tmp_path / "records.jsonl"
    with Records(path) as records, pytest.raises(ArtifactError, match="no numbers"):
        module.run(bigrams, config, Setting(), records)
    bigrams.poison = None
    bigrams.asked.clear()
    with Records(path) as records:
        assert len(records) == 8
        module.run(bigrams, config, Setting(), records)
        assert len(records) == 11
    assert len(bigrams.asked) == 2 * 2 + 1


def test_an_item_longer_than_the_context_is_counted(bigrams: Any, items: str, tmp_path: Path) -> None:
    bigrams.context_tokens = 8
    with Records(tmp_path / "records.jsonl") as records:
        module.run(bigrams, ChoicesConfig(tasks=(items,)), Setting(), records)
        found = summarise(records, 1)["cats.jsonl"]
    assert (found["cut_items"], found["dropped_tokens"]) == (10, 30)


def test_bad_data_are_told_before_anything_is_scored(bigrams: Any, items: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"context": "q", "choices": ["a", "b"], "label": 9}\n')
    with Records(tmp_path / "records.jsonl") as records:
        for tasks, error in (((items, str(bad)), DataError), ((items, "piqa"), UsageError)):
            with pytest.raises(error):
                module.run(bigrams, ChoicesConfig(tasks=tasks), Setting(), records)
        assert len(records) == 0 and not bigrams.asked


def test_a_decoder_is_scored_as_its_own_softmax_says(items: str, tmp_path: Path) -> None:
    tokenizer = train_bpe([Path(__file__).read_text()], 300)
    shape = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=64, layers=1, hidden=16, heads=2, kv_heads=1, mlp_hidden=24,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True,
    )  # fmt: skip
    model = Decoder(shape)
    init_weights(model, 3)
    with Records(tmp_path / "records.jsonl") as records:
        module.run(LocalModel(model, tokenizer), ChoicesConfig(tasks=(items,)), Setting(limit=4), records)
        assert len(records) == 4
        for record in records:
            if record.item.startswith("q"):
                for nats, choice in zip(record.details["nats"], ("cat sat", "qqq zzz"), strict=True):
                    assert nats == pytest.approx(_nats(model, tokenizer, Pair("the", f" {choice}")), abs=1e-4)
    assert torch.is_grad_enabled()


def _nats(model: Decoder, tokenizer: Any, pair: Pair) -> float:
    """One sequence, one softmax at a time, without batches or sharing."""
    context, whole = tokenizer.encode(pair.context), tokenizer.encode(pair.context + pair.continuation)
    with torch.no_grad():
        logits_TV = model.logits(model(torch.tensor([whole[:-1]])))[0].double()
    at = range(len(context) - 1, len(whole) - 1)
    return -math.fsum(float(torch.log_softmax(logits_TV[t], 0)[whole[t + 1]]) for t in at)
