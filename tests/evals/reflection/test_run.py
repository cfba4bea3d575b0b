import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.evals.local import LocalModel
from pellucid.evals.reflection.arithmetic import problem
from pellucid.evals.reflection.plant import Planted, plant
from pellucid.evals.reflection.run import run
from pellucid.evals.results import Records, summarise
from pellucid.evals.subject import Pair, Setting
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import ReflectionConfig
from pellucid.tokenizer.training import train_bpe

CONFIG = ReflectionConfig(problems=40)
CONDITIONS = ("error_trigger", "error", "right_trigger", "right")
Scored = tuple[dict[str, Any], dict[str, Any]]


def scored(subject: Any, path: Path, config: ReflectionConfig = CONFIG, setting: Setting = Setting()) -> Scored:  # noqa: B008
    """Facts, and the values of each task's metrics."""
    with Records(path / "items.jsonl") as records:
        facts = run(subject, config, setting, records)
        tables = summarise(records, 1)
    json.dumps(facts)
    return dict(facts), {task: {name: one["value"] for name, one in table["metrics"].items()} for task, table in tables.items()}


def test_who_works_everything_out_recovers_always(solver: Any, tmp_path: Path) -> None:
    facts, tables = scored(solver, tmp_path)
    values = tables["arithmetic"]
    for condition in CONDITIONS:
        assert values[f"prefers_right_{condition}"] == values[f"final_right_{condition}"] == 1
        assert values[f"margin_nats_{condition}"] == 3 and values[f"carried_on_{condition}"] == 0
        assert values[f"speaks_of_error_{condition}"] == 1
    effects = facts["probes"]["arithmetic"]["effects"]
    assert effects["final_right"]["trigger"] == {"value": 0, "stderr": 0, "low": 0, "high": 0, "items": 40, "p": 1}


def test_who_carries_on_never_does_and_the_controls_are_right(make_rule: Callable[..., Any], tmp_path: Path) -> None:
    items = {planted.worked.question: planted for planted in (plant(problem(number), 1) for number in range(40))}

    def item(prompt: str) -> Planted:
        return items[prompt.rsplit("Question: ", 1)[1].split("\n", 1)[0]]

    def has_error(prompt: str) -> bool:
        planted = item(prompt)
        return planted.line(planted.step, planted=True)[1:] in prompt.rsplit("Question: ", 1)[1]

    def answer(prompt: str) -> str:
        return f"So {item(prompt).conclusion(planted=has_error(prompt))}"

    def nats(pair: Pair) -> float:
        return 0.5 if item(pair.context).conclusion(planted=has_error(pair.context))[1:] in pair.continuation else 9.0

    facts, tables = scored(make_rule(answer, nats), tmp_path)
    values = tables["arithmetic"]
    for condition in CONDITIONS:
        follows = float(condition.startswith("right"))
        assert values[f"prefers_right_{condition}"] == values[f"final_right_{condition}"] == follows
        assert values[f"carried_on_{condition}"] == 1 - follows and values[f"speaks_of_error_{condition}"] == 0
        assert values[f"margin_nats_{condition}"] == (8.5 if follows else -8.5)
    assert facts["probes"]["arithmetic"]["effects"]["prefers_right"]["error"]["value"] == -1


def test_who_gambles_is_at_chance(gambler: Any, tmp_path: Path) -> None:
    facts, tables = scored(gambler, tmp_path, ReflectionConfig(problems=400, forms=("likelihood",)))
    values = tables["arithmetic"]
    for condition in CONDITIONS:
        assert abs(values[f"prefers_right_{condition}"] - 0.5) < 0.1 and abs(values[f"margin_nats_{condition}"]) < 0.06
    trigger = facts["probes"]["arithmetic"]["effects"]["prefers_right"]["trigger"]
    assert trigger["low"] < 0 < trigger["high"] and trigger["p"] > 0.01
    assert "final_right_error" not in values


def test_a_trigger_that_helps_is_seen(make_rule: Callable[..., Any], solve: Callable[[str], int], tmp_path: Path) -> None:
    def answer(prompt: str) -> str:
        question = prompt.rsplit("Question: ", 1)[1].split("\n", 1)[0]
        return f"the answer is {solve(question) if prompt.endswith('Hm,') else 0}"

    config = ReflectionConfig(problems=40, forms=("generation",), trigger="Hm,")
    effects = scored(make_rule(answer, None), tmp_path, config)[0]["probes"]["arithmetic"]["effects"]["final_right"]
    assert effects["trigger"]["low"] == 1 and effects["false_trigger"]["value"] == 1 and effects["error"]["value"] == 0


def test_ones_own_errors_are_triggered_and_nothing_else(
    make_rule: Callable[..., Any], solve: Callable[[str], int], tmp_path: Path
) -> None:
    def answer(prompt: str) -> str:
        question = prompt.rsplit("Question: ", 1)[1].split("\n", 1)[0]
        first = prompt.endswith("Answer:\n")
        known = "apples" not in question
        return f"The answer is {solve(question)}." if known else "The answer is 0." if first else "no, 1"

    subject = make_rule(answer, None)
    config = ReflectionConfig(problems=40, forms=("generation",), own_errors=True)
    values = scored(subject, tmp_path, config)[1]["arithmetic:own"]
    apples = [problem(number) for number in range(3, 40, 10)]
    right = sum(one.values()[one.answer] == 1 for one in apples) / len(apples)
    assert values == {"first_right": 36 / 40, "recovered": right, "speaks_of_error": 0}
    again = [prompt for prompt in subject.prompts if prompt.endswith("The answer is 0.\nWait,")]
    assert len(again) == 4


def test_what_is_scored_is_not_asked_again(solver: Any, make_rule: Callable[..., Any], tmp_path: Path) -> None:
    scored(solver, tmp_path, setting=Setting(limit=16))
    before = len(solver.pairs)
    whole = scored(solver, tmp_path)
    assert len(solver.pairs) - before == 24 * 8
    scored(solver, tmp_path)
    assert len(solver.pairs) - before == 24 * 8
    assert whole[1] == scored(solver, tmp_path / "anew")[1]


def test_what_was_scored_before_a_failure_is_kept(make_rule: Callable[..., Any], tmp_path: Path) -> None:
    count = 0

    def nats(pair: Pair) -> float:
        nonlocal count
        count += 1
        if count > 200:
            raise ArtifactError("logits are no numbers")
        return 1.0

    with pytest.raises(ArtifactError), Records(tmp_path / "items.jsonl") as records:
        run(make_rule(None, nats), ReflectionConfig(problems=40, forms=("likelihood",)), Setting(), records)
    with Records(tmp_path / "items.jsonl") as records:
        assert len(records) == 24


def test_two_tasks_of_one_name_are_refused(solver: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two tasks have one name"):
        scored(solver, tmp_path, ReflectionConfig(tasks=("arithmetic", "arithmetic")))


def test_a_real_model_is_scored_too(tmp_path: Path) -> None:
    tokenizer = train_bpe([problem(number).question + problem(number).line(0) for number in range(200)], 400)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=256, layers=1, hidden=16, heads=2, kv_heads=2, mlp_hidden=24,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    subject = LocalModel(model, tokenizer)
    short = ReflectionConfig(problems=12, max_new_tokens=8, shots=0, own_errors=True)
    facts, tables = scored(subject, tmp_path, short)
    values = tables["arithmetic"]
    assert facts["probes"]["arithmetic"]["chosen"] == 12 and len(values) == 5 * 4
    with Records(tmp_path / "items.jsonl") as records:
        for record in records:
            if record.task == "arithmetic":
                details = record.details
                assert record.scores["margin_nats_error"] == pytest.approx(
                    details["wrong_nats_error"] - details["right_nats_error"]
                )
                assert details["right_nats_error"] > 0 and record.dropped_tokens == 0
                assert record.text == problem(int(record.item[-5:])).question
    cut = scored(subject, tmp_path / "cut", ReflectionConfig(problems=4, max_new_tokens=8, shots=8))
    with Records(tmp_path / "cut" / "items.jsonl") as records:
        assert all(record.dropped_tokens > 0 for record in records) and len(cut[1]["arithmetic"]) == 20
