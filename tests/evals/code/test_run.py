import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.code.job import Limits
from pellucid.evals.code.problems import Problem, load
from pellucid.evals.code.run import humaneval, limits_of, run, workers_that_fit
from pellucid.evals.code.sandbox import Sandbox
from pellucid.evals.local import LocalModel
from pellucid.evals.results import Record, Records, summarise
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Setting, Usage, nothing_done
from pellucid.evals.suites import find_suite
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.suites import CodeConfig
from pellucid.tokenizer.training import train_bpe


@dataclass
class Pupil:
    """A `Subject` that has learnt the solutions and forgets one when its seed is divisible by `forgets`. It counts requests."""

    problems: Sequence[Problem]
    forgets: int = 0
    completes: bool = True
    label: str = "pupil"
    identity: Mapping[str, Any] = field(default_factory=dict)
    context_tokens: int | None = None
    usage: Usage = field(default_factory=Usage)

    def _answer(self, problem: Problem, seed: int, text: str) -> Answer:
        self.usage.requests += 1
        forgotten = self.forgets and seed % self.forgets == 0
        return Answer("    return None\n" if forgotten else text, "stop", len(problem.prompt), len(text))

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        if not self.completes:
            raise UsageError("only chat")
        by_prompt = {problem.prompt: problem for problem in self.problems}
        known = [by_prompt[prompt] for prompt in prompts]
        return [self._answer(one, seed, one.reference[len(one.preamble) :]) for one, seed in zip(known, seeds, strict=True)]

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        by_request = {problem.request: problem for problem in self.problems}
        known = [by_request[turns[0]["content"]] for turns in conversations]
        return [self._answer(one, seed, f"Here:\n```python\n{one.reference}\n```") for one, seed in zip(known, seeds, strict=True)]

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise UsageError("not asked here")

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise UsageError("not asked here")

    def count_tokens(self, text: str) -> int | None:
        return len(text)


def pupil(data: Path, **settings: Any) -> Pupil:
    return Pupil([*load("humaneval", str(data)).problems, *load("mbpp", str(data)).problems], **settings)


def setting(data: Path, **others: Any) -> Setting:
    return Setting(data=str(data), allow_code_execution=True, **others)


@pytest.fixture
def tested(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The one sandbox of all tests, so that it is not tested again for each."""
    monkeypatch.setattr("pellucid.evals.code.run.Sandbox", lambda limits, packages: sandbox)
    return sandbox


def test_nothing_is_run_unless_it_is_allowed_and_the_message_says_what_would_be(code_data: Path, tmp_path: Path) -> None:
    subject = pupil(code_data)
    with Records(tmp_path / "records") as records, pytest.raises(UsageError) as refused:
        run(subject, CodeConfig(), Setting(data=str(code_data)), records)
    assert subject.usage.requests == 0
    for word in ("humaneval", "sandbox", "no network", "64 MiB", "3 s of CPU time", "512 MiB", "--allow-code-execution"):
        assert word in str(refused.value)


def test_every_problem_gets_its_pass_at_k_and_the_programs_can_be_read(code_data: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    subject = pupil(code_data, forgets=3)
    config = CodeConfig(tasks=("humaneval", "mbpp"), samples=4, ks=(1, 2), temperature=0.5)
    with Records(tmp_path / "records") as records:
        facts = run(subject, config, setting(code_data), records)
        table = summarise(records, 1)
        for task in config.tasks:
            for problem in load(task, str(code_data)).problems:
                record = records.get(task, problem.id)
                assert record is not None
                right = sum(derive_seed(1, "code", task, problem.id, number) % 3 != 0 for number in range(4))
                assert record.details["passed"] == right
                assert record.scores["pass@1"] == pytest.approx(right / 4)
                assert len(record.details["programs"]) == 4
                assert record.text == {"question": problem.question, "answer": problem.reference.removeprefix(problem.preamble)}
                assert all(
                    problem.entry_point in one["program"] or one["outcome"] == "failed" for one in record.details["programs"]
                )
    assert set(table["humaneval"]["metrics"]) == {"pass@1", "pass@2"}
    task_facts = facts["tasks"]["mbpp"]
    assert task_facts["styles"] == {"complete": 12}
    assert sum(task_facts["outcomes"].values()) == 12
    assert task_facts["pass_at_k"]["pass@1"]["value"] == pytest.approx(table["mbpp"]["metrics"]["pass@1"]["value"])
    assert facts["sandbox"]["self_test"]["escapes"] == []
    json.dumps(facts)


class Killed(Exception):  # noqa: N818
    pass


class MortalRecords(Records):
    left = 0

    def add(self, record: Record) -> None:
        if not self.left:
            raise Killed
        self.left -= 1
        super().add(record)


@pytest.mark.parametrize("lived", [1, 4, 9, 13])
def test_a_kill_repeats_nothing_that_was_finished_and_changes_no_score(
    code_data: Path, tmp_path: Path, tested: Sandbox, lived: int
) -> None:
    config = CodeConfig(tasks=("mbpp",), samples=2, temperature=0.5)
    with Records(tmp_path / "whole") as whole:
        run(pupil(code_data, forgets=2), config, setting(code_data), whole)
    with MortalRecords(tmp_path / "cut") as cut:
        cut.left = lived
        with pytest.raises(Killed):
            run(pupil(code_data, forgets=2), config, setting(code_data), cut)
    again = pupil(code_data, forgets=2)
    with Records(tmp_path / "cut") as cut:
        written = sum(record.task == "mbpp.samples" for record in cut)
        run(again, config, setting(code_data), cut)
        assert again.usage.requests == 6 - written
        assert {(r.task, r.item): r.scores for r in cut} == {(r.task, r.item): r.scores for r in whole}


def test_a_model_that_only_chats_is_asked_in_chat_and_one_style_stays_with_a_task(
    code_data: Path, tmp_path: Path, tested: Sandbox
) -> None:
    with Records(tmp_path / "records") as records:
        facts = run(pupil(code_data, completes=False), CodeConfig(tasks=("humaneval", "mbpp")), setting(code_data), records)
    assert facts["tasks"]["humaneval"]["styles"] == {"chat": 2}
    assert facts["tasks"]["humaneval"]["outcomes"] == {"passed": 2}
    assert facts["tasks"]["mbpp"]["outcomes"] == {"passed": 3}
    with Records(tmp_path / "forced") as records, pytest.raises(UsageError, match="only chat"):
        run(pupil(code_data, completes=False), CodeConfig(style="complete"), setting(code_data), records)


def test_a_limit_scores_the_same_problems_in_every_run(code_data: Path, tmp_path: Path, tested: Sandbox) -> None:
    items = []
    for name in ("a", "b"):
        with Records(tmp_path / name) as records:
            facts = humaneval(pupil(code_data), setting(code_data, limit=1, seed=5), records)
            items.append([record.item for record in records if record.task == "humaneval"])
    assert items[0] == items[1]
    assert len(items[0]) == 1
    assert facts["tasks"]["humaneval"]["problems"] == 1
    assert facts["tasks"]["humaneval"]["of"] == 2


def test_a_sandbox_that_cannot_be_set_up_any_more_stops_the_suite_and_keeps_what_is_written(
    code_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.evals.code.sandbox.Sandbox.test", lambda self: None)
    monkeypatch.setattr("pellucid.evals.code.sandbox._CHILD", tmp_path / "gone.py")
    with Records(tmp_path / "records") as records, pytest.raises(ArtifactError, match=r"(?s)could not be set up.*call again"):
        run(pupil(code_data), CodeConfig(), setting(code_data), records)
    with Records(tmp_path / "records") as records:
        assert {record.task for record in records} == {"humaneval.samples"}


def test_a_model_of_ours_writes_programs_that_are_run_and_fail(code_data: Path, tmp_path: Path, tested: Sandbox) -> None:
    texts = [problem.prompt + problem.reference for problem in load("mbpp", str(code_data)).problems]
    tokenizer = train_bpe(texts, 300)
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=64, layers=1, hidden=16, heads=2, kv_heads=1, mlp_hidden=24,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True, init_std=0.3,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 3)
    code = CodeConfig(tasks=("humaneval", "mbpp"), samples=2, ks=(2,), temperature=1.0, max_new_tokens=20)
    shown = []
    for name in ("once", "again"):
        with Records(tmp_path / name) as records:
            facts = run(LocalModel(model, tokenizer), code, setting(code_data), records)
            shown.append({record.item: record.details["program"] for record in records if record.task.endswith(".samples")})
            cut = summarise(records, 1)["mbpp"]["cut_items"]
    assert shown[0] == shown[1], "the seeds make the programs"
    assert len(set(shown[0].values())) > len(shown[0]) / 2, "and they differ"
    assert cut == 3, "the prompt of MBPP is longer than this context"
    assert facts["tasks"]["humaneval"]["outcomes"] == {"failed": 4}
    assert facts["tasks"]["humaneval"]["pass_at_k"]["pass@2"]["value"] == 0


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="ks holds 10, but samples is 5"):
        CodeConfig(samples=5, ks=(1, 10), temperature=0.8)
    with pytest.raises(ValidationError, match="all would be the same"):
        CodeConfig(samples=5)
    assert limits_of(CodeConfig(seconds=4, memory_mib=256)).memory_bytes == 256 << 20
    assert limits_of(CodeConfig(seconds=4)).wall_s == 20


@pytest.mark.parametrize(("memory_gib", "workers"), [(1, 1), (8, 3), (10_000, 40)])
def test_as_many_programs_run_at_once_as_there_are_cores_and_memory_for(
    memory_gib: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.evals.code.run.available_memory_bytes", lambda: memory_gib << 30)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(40)), raising=False)
    assert workers_that_fit(Limits()) == workers


def test_the_suite_is_found_by_its_name() -> None:
    assert find_suite("code").run is run
