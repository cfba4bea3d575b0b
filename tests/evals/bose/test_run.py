import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.evals.bose.run import run
from pellucid.evals.local import LocalModel
from pellucid.evals.results import Records, summarise
from pellucid.evals.subject import Pair, Setting
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import BoseConfig
from pellucid.tokenizer.training import train_bpe

COLOURS = ("red", "green as grass", "blue", "white")


def scored(subject: Any, path: Path, config: BoseConfig, setting: Setting = Setting()) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: B008
    """Facts, and the values of each task's metrics."""
    with Records(path / "items.jsonl") as records:
        facts = run(subject, config, setting, records)
        tables = summarise(records, 1)
    json.dumps(facts)
    return dict(facts), {task: {name: one["value"] for name, one in table["metrics"].items()} for task, table in tables.items()}


def thing(text: str) -> int:
    return int(text.rsplit("thing ", 1)[1].split("?")[0])


def test_who_knows_is_right_however_it_is_asked(make_rule: Callable[..., Any], questions: Path, tmp_path: Path) -> None:
    def nats(pair: Pair) -> float:
        colour = COLOURS[thing(pair.context) % 4]
        said = pair.continuation.strip(" .")
        is_letter = len(said) == 1
        shown = pair.context.rsplit("\n\n", 1)[-1]  # the examples have choices too
        right = f"\n{said}. {colour}\n" in shown if is_letter else said == colour
        return 0.1 if right else 9.0

    facts, values = scored(make_rule(None, nats), tmp_path, BoseConfig(tasks=(str(questions),), forms=3, choice_shots=2))
    assert set(values) == {"colours:letter", "colours:option", "colours:option_bytes", "colours:blank"}
    for one in values.values():
        assert one["acc"] == one["acc_forms"] == 1 and one["form_decides"] == 0 and one["softmax_right"] > 0.5
    assert facts["tasks"]["colours"]["forms"]["letter"] == {"acc_by_form": [1.0, 1.0, 1.0], "stdev": 0.0}
    assert facts["tasks"]["colours"]["chosen"] == 38


def test_who_only_likes_a_letter_is_at_chance_and_the_order_decides(
    make_rule: Callable[..., Any], questions: Path, tmp_path: Path
) -> None:
    subject = make_rule(None, lambda pair: 0.0 if pair.continuation == " A" else 5.0)
    facts, values = scored(subject, tmp_path, BoseConfig(tasks=(str(questions),), forms=3))
    assert values["colours:letter"]["acc"] == 0.25 and values["colours:letter"]["form_decides"] > 0.2
    assert values["colours:option"]["form_decides"] == 0  # all are as likely: the first wins, in any wording
    assert facts["tasks"]["colours"]["forms"]["option"]["stdev"] == 0


def test_normalisation_is_told_apart(make_rule: Callable[..., Any], questions: Path, tmp_path: Path) -> None:
    """A nat a word, and one for beginning: long answers cost more in all, and less by token."""
    _, values = scored(
        make_rule(None, lambda pair: 1.0 + len(pair.continuation.split())), tmp_path, BoseConfig(tasks=(str(questions),))
    )
    assert values["colours:option"]["acc"] == 0.25  # red, the first of the short ones, always
    with Records(tmp_path / "items.jsonl") as records:
        chosen = {
            name: {record.details["label"] for record in records if record.task == f"colours:{name}" and record.scores["acc"]}
            for name in ("option", "option_bytes", "blank")
        }
    assert chosen == {"option": {0}, "option_bytes": {1}, "blank": {1}}


def test_a_model_that_needs_to_be_shown_the_format_gains_by_it(make_rule: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "numbers.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"Say {n}!", "answer": str(n)}) for n in range(20)))

    def answer(prompt: str) -> str:
        number = prompt.rsplit("Say ", 1)[1].split("!")[0]
        return f" The answer is {number}." if "The answer is" in prompt else f" {number} and 99"

    subject = make_rule(answer, None)
    facts, values = scored(subject, tmp_path, BoseConfig(tasks=(), open_tasks=(str(path),), shots=2), Setting(limit=12))
    assert [values[f"numbers:{name}"]["acc"] for name in ("plain", "shots", "iclip")] == [0, 1, 1]
    assert facts["tasks"]["numbers"]["kind"] == "number" and len(subject.prompts) == 36
    assert sum(prompt.startswith("Solve each problem") for prompt in subject.prompts) == 12


def test_open_answers_are_scored_in_each_form(make_rule: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "capitals.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"Capital {n}?", "answer": f"City{n}"}) for n in range(6)))

    def answer(prompt: str) -> str:
        number = prompt.rsplit("Capital ", 1)[1].split("?")[0]
        return f" City{number}" if prompt.endswith("Answer:") else f" it is City{number}"

    config = BoseConfig(tasks=(), open_tasks=(str(path),), open_variants=("iclip",), shots=1, forms=2)
    facts, values = scored(make_rule(answer, None), tmp_path, config)
    assert values["capitals:iclip"] == {"acc": 1, "holds": 1, "acc_forms": 0.5, "form_decides": 1}
    assert facts["tasks"]["capitals"]["forms"]["iclip"]["acc_by_form"] == [1, 0]


def test_what_is_scored_is_not_asked_again(make_rule: Callable[..., Any], questions: Path, tmp_path: Path) -> None:
    config = BoseConfig(tasks=(str(questions),))
    subject = make_rule(None, lambda pair: float(len(pair.continuation)))
    scored(subject, tmp_path, config, Setting(limit=10))
    asked = len(subject.pairs)
    assert asked == 10 * 4 * 3
    _, values = scored(subject, tmp_path, config)
    assert len(subject.pairs) - asked == 30 * 4 * 3
    again = make_rule(None, lambda pair: float(len(pair.continuation)))
    assert scored(again, tmp_path, config)[1] == values and not again.pairs
    assert scored(again, tmp_path / "anew", config)[1] == values


def test_what_was_scored_before_a_failure_is_kept(make_rule: Callable[..., Any], questions: Path, tmp_path: Path) -> None:
    def nats(pair: Pair) -> float:
        if thing(pair.context) == 33:
            raise ArtifactError("logits are no numbers")
        return 1.0

    with pytest.raises(ArtifactError):
        scored(make_rule(None, nats), tmp_path, BoseConfig(tasks=(str(questions),)))
    with Records(tmp_path / "items.jsonl") as records:
        assert len(records) == 32


def test_names_must_differ_and_something_must_be_asked(make_rule: Callable[..., Any], questions: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two tasks have one name"):
        scored(make_rule(None, None), tmp_path, BoseConfig(tasks=(str(questions), str(questions))))
    with pytest.raises(UsageError, match="both empty"):
        scored(make_rule(None, None), tmp_path, BoseConfig(tasks=(), open_tasks=()))


def test_a_real_model_is_scored_too(questions: Path, tmp_path: Path) -> None:
    tokenizer = train_bpe([questions.read_text()], 300)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=128, layers=1, hidden=16, heads=2, kv_heads=2, mlp_hidden=24,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    subject = LocalModel(model, tokenizer)
    asking = BoseConfig(tasks=(str(questions),), open_tasks=("arithmetic",), shots=1, max_new_tokens=6)
    _, values = scored(subject, tmp_path, asking, Setting(limit=6))
    assert len(values) == 7 and all(0 <= one["acc"] <= 1 for one in values.values())
    with Records(tmp_path / "items.jsonl") as records:
        blanks = [record for record in records if record.task == "colours:blank"]
        for record in blanks:
            (choice,) = subject.loglikelihoods([Pair(f"Question: Which colour has thing {record.item}? The answer is", " blue.")])
            colour = COLOURS[int(record.item) % 4]
            assert record.text == {"question": f"Which colour has thing {record.item}?", "answer": colour}
            assert record.details["nats"][2] == pytest.approx(choice.nats, abs=1e-4)
            cost = [nats / tokens for nats, tokens in zip(record.details["nats"], record.details["tokens"], strict=True)]
            assert record.scores["acc"] == float(cost.index(min(cost)) == record.details["label"])
        assert any(record.dropped_tokens for record in records if record.task == "arithmetic:iclip")
