"""The suite `code`: a model writes programs, a sandbox runs them against tests, pass@k counts those that hold.

Three lines are left of every program and problem: `TASK.samples` when a program is written, `TASK.runs` when it has been run, and
TASK with pass@k when all programs of a problem have. A call that goes on after a kill writes and runs only what is missing.
"""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from pellucid.core.environment import available_memory_bytes
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.progress import ProgressBar, progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.code.job import CHECK_MEMORY_BYTES, Check, Limits, Outcome
from pellucid.evals.code.passk import mean_and_stderr, pass_at_k
from pellucid.evals.code.problems import Problem, Problems, Style, choose, load
from pellucid.evals.code.sandbox import Sandbox
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Answer, Decoding, Setting, Subject
from pellucid.recipe.suites import CodeConfig

__all__ = ["humaneval", "limits_of", "run", "workers_that_fit"]

_WRITTEN_AT_ONCE = 64
_WALL_PER_CPU = 5
_SHOWN_CHARS = 400


def run(subject: Subject, config: CodeConfig, setting: Setting, records: Records) -> dict[str, Any]:
    """Score what `records` does not hold yet; return what the sandbox enforced, the data's digests and how programs ended.

    Raises `UsageError` unless `setting.allow_code_execution`, where the sandbox cannot hold, and where there is no data.
    """
    limits = limits_of(config)
    if not setting.allow_code_execution:
        raise UsageError(_what_would_be_run(config, limits))
    loaded = [load(task, setting.data) for task in config.tasks]
    sandbox = Sandbox(limits, packages=config.packages)
    sandbox.test()
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "settings": config.model_dump(mode="json"),
        "tasks": {},
    }
    writer = _Writer(subject, config, setting.seed)
    for problems in loaded:
        chosen = choose(problems, setting.limit, setting.seed)
        _score(problems, chosen, writer, sandbox, records)
        facts["tasks"][problems.task] = _facts(problems, chosen, config, records)
    return {**facts, "sandbox": sandbox.facts}


def humaneval(subject: Subject, setting: Setting, records: Records) -> dict[str, Any]:
    """Score HumanEval as other suites need it: 0-shot, one greedy completion a problem; task `humaneval`, score `pass@1`."""
    return run(subject, CodeConfig(tasks=("humaneval",), style="complete"), setting, records)


def limits_of(config: CodeConfig) -> Limits:
    """Return what one program may use."""
    return Limits(cpu_s=config.seconds, wall_s=float(_WALL_PER_CPU * config.seconds), memory_bytes=config.memory_mib << 20)


def workers_that_fit(limits: Limits) -> int:
    """Return how many programs to run at once: one a core, as far as there is memory for each with its folder and its check."""
    each = limits.memory_bytes + limits.folder_bytes + CHECK_MEMORY_BYTES
    return max(1, min(len(os.sched_getaffinity(0)), available_memory_bytes() // each))


def _what_would_be_run(config: CodeConfig, limits: Limits) -> str:
    return (
        f"the suite code runs programs that the model writes ({', '.join(config.tasks)}), and nobody has read them. They would run "
        "on this machine in a sandbox enforced by the kernel: no network, no files but an empty folder of "
        f"{limits.folder_bytes >> 20} MiB, no other processes, at most {limits.cpu_s} s of CPU time and "
        f"{limits.memory_bytes >> 20} MiB of memory each. If that is what you want, say --allow-code-execution"
    )


@dataclass
class _Writer:
    """Asks the model for programs. `style` is found out with the first ones when it is auto."""

    subject: Subject
    config: CodeConfig
    seed: int
    style: Style | None = None

    def __post_init__(self) -> None:
        if self.config.style != "auto":
            self.style = self.config.style

    def write(self, task: str, wanted: Sequence[tuple[Problem, int]]) -> Iterator[Record]:
        """Yield a record for each program, in the order of the problems and their numbers."""
        seeds = [derive_seed(self.seed, "code", task, problem.id, number) for problem, number in wanted]
        answers = self._answers([problem for problem, _ in wanted], seeds)
        style = self.style or "complete"
        for (problem, number), seed, answer in zip(wanted, seeds, answers, strict=True):
            details = {
                "program": _clean(problem.program(answer.text, style)),
                "style": style,
                "seed": seed,
                "stopped_by": answer.stopped_by,
                "new_tokens": answer.new_tokens,
            }
            prompt = prompt_digest(style, problem.prompt if style == "complete" else problem.request)
            yield Record(
                f"{task}.samples",
                _name(problem, number),
                prompt=prompt,
                dropped_tokens=answer.dropped_tokens,
                details=details,
            )

    def _answers(self, problems: Sequence[Problem], seeds: Sequence[int]) -> list[Answer]:
        if self.style is not None:
            return self._ask(self.style, problems, seeds)
        try:
            answers, self.style = self._ask("complete", problems, seeds), "complete"
        except UsageError:
            # An endpoint may offer nothing but chat. Where it does not chat either, its error is the one to be shown.
            answers, self.style = self._ask("chat", problems, seeds), "chat"
        return answers

    def _ask(self, style: Style, problems: Sequence[Problem], seeds: Sequence[int]) -> list[Answer]:
        config = self.config
        stop = problems[0].stop if style == "complete" else ()
        decoding = Decoding(config.max_new_tokens, config.temperature, top_p=config.top_p, stop=stop)
        if style == "complete":
            return self.subject.complete([problem.prompt for problem in problems], decoding, seeds)
        return self.subject.chat([problem.conversation() for problem in problems], decoding, seeds)


def _score(problems: Problems, chosen: Sequence[Problem], writer: _Writer, sandbox: Sandbox, records: Records) -> None:
    task, config = problems.task, writer.config
    numbers = range(config.samples)
    left = [problem for problem in chosen if not records.has(task, problem.id)]
    parts = [(problem, number) for problem in left for number in numbers]
    if writer.style is None:
        writer.style = _style_so_far(records, task, parts)
    with progress(f"code: {task}", total=len(chosen) * config.samples, unit="programs") as bar:
        bar.resume_at((len(chosen) - len(left)) * config.samples)
        for begin in range(0, len(parts), _WRITTEN_AT_ONCE):
            part = parts[begin : begin + _WRITTEN_AT_ONCE]
            unwritten = [
                (problem, number) for problem, number in part if not records.has(f"{task}.samples", _name(problem, number))
            ]
            if unwritten:
                for record in writer.write(task, unwritten):
                    records.add(record)
            _run_programs(task, part, sandbox, records, bar, config.workers)
            for problem in {problem.id: problem for problem, _ in part}.values():
                _finish(task, problem, config, records)


def _style_so_far(records: Records, task: str, parts: Sequence[tuple[Problem, int]]) -> Style | None:
    """Return in which style the programs of an earlier call were written, so that one task has one style."""
    for problem, number in parts:
        known = records.get(f"{task}.samples", _name(problem, number))
        if known is not None:
            return "chat" if known.details["style"] == "chat" else "complete"
    return None


def _run_programs(
    task: str, part: Sequence[tuple[Problem, int]], sandbox: Sandbox, records: Records, bar: ProgressBar, workers: int | None
) -> None:
    waiting: list[tuple[str, Check, str]] = []
    for problem, number in part:
        name = _name(problem, number)
        sample = records.get(f"{task}.samples", name)
        if sample is None or records.has(f"{task}.runs", name):
            bar.advance()
            continue
        waiting.append((name, problem.check, sample.details["program"]))
    runs: Callable[[tuple[str, Check, str]], Outcome] = lambda one: sandbox.run(one[2], one[1])  # noqa: E731
    with ThreadPoolExecutor(workers or workers_that_fit(sandbox.limits)) as pool:
        for (name, _, _), outcome in zip(waiting, pool.map(runs, waiting), strict=True):
            if outcome.status == "refused":
                reason = f"the sandbox could not be set up for {task} {name}: {outcome.excerpt}"
                raise ArtifactError(f"{reason}\nWhat is scored is kept; call again to go on")
            details = {**asdict(outcome), "output": _clean(outcome.output)[:_SHOWN_CHARS], "excerpt": _clean(outcome.excerpt)}
            records.add(Record(f"{task}.runs", name, details=details))
            bar.advance()


def _finish(task: str, problem: Problem, config: CodeConfig, records: Records) -> None:
    """Add a problem's record once all its programs have been run."""
    names = [_name(problem, number) for number in range(config.samples)]
    samples = [record for name in names if (record := records.get(f"{task}.samples", name)) is not None]
    runs = [record for name in names if (record := records.get(f"{task}.runs", name)) is not None]
    if len(runs) < len(names) or len(samples) < len(names):
        return
    passed = sum(record.details["status"] == "passed" for record in runs)
    programs = [
        {
            "outcome": ran.details["status"],
            "excerpt": ran.details["excerpt"],
            "program": sample.details["program"],
            "seed": sample.details["seed"],
        }
        for sample, ran in zip(samples, runs, strict=True)
    ]
    scores = {f"pass@{k}": pass_at_k(config.samples, passed, k) for k in config.ks}
    dropped = max(record.dropped_tokens for record in samples)
    records.add(
        Record(
            task,
            problem.id,
            scores,
            prompt=samples[0].prompt,
            dropped_tokens=dropped,
            text={"question": problem.question, "answer": problem.reference.removeprefix(problem.preamble)},
            details={"passed": passed, "programs": programs},
        )
    )


def _facts(problems: Problems, chosen: Sequence[Problem], config: CodeConfig, records: Records) -> Mapping[str, Any]:
    done = [record for problem in chosen if (record := records.get(problems.task, problem.id)) is not None]
    outcomes = Counter(program["outcome"] for record in done for program in record.details["programs"])
    samples = [records.get(f"{problems.task}.samples", f"{problem.id}#{n}") for problem in chosen for n in range(config.samples)]
    figures = {}
    for k in config.ks:
        mean, stderr = mean_and_stderr([record.scores[f"pass@{k}"] for record in done])
        figures[f"pass@{k}"] = {"value": mean, "stderr_over_problems": stderr}
    return {
        "source": problems.source,
        "sha256": problems.sha256,
        "problems": len(chosen),
        "of": len(problems.problems),
        "outcomes": dict(sorted(outcomes.items())),
        "styles": dict(Counter(sample.details["style"] for sample in samples if sample is not None)),
        "cut_by_length": sum(sample.details["stopped_by"] != "stop" for sample in samples if sample is not None),
        "pass_at_k": figures,
    }


def _name(problem: Problem, number: int) -> str:
    return f"{problem.id}#{number}"


def _clean(text: str) -> str:
    """Return a text that JSON can hold: lone surrogates are replaced."""
    return text.encode("utf-8", "replace").decode()
