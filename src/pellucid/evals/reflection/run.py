"""The suite `reflection`: items, prompts, scores, and what trigger and error do to them.

Each item has four prompts, with and without the error, with and without the trigger (`prompts.CONDITIONS`); the mean of
`final_right_error_trigger` is the rate of recovery. With `own_errors` a second task, NAME:own, lets the model answer by itself
first and triggers it where it was wrong: those are other items for every model, so they tell of one model and do not compare two.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.progress import ProgressBar, progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.reflection.plant import Planted
from pellucid.evals.reflection.prompts import CONDITIONS, Condition, Frame
from pellucid.evals.reflection.quantities import final_answer
from pellucid.evals.reflection.recognition import recognises
from pellucid.evals.reflection.scoring import effects, from_answer, from_likelihoods
from pellucid.evals.reflection.sources import Probe, load_probe
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Answer, Decoding, Setting, Subject, nothing_done
from pellucid.recipe.suites import ReflectionConfig

__all__ = ["run"]

_CHUNK = 8
_STOP = ("\n\n", "\nQuestion:")


def run(subject: Subject, config: ReflectionConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score what `records` does not hold; return each probe's items and digests, and the effects of trigger and error.

    Raises what `load_probe` raises, and `UsageError` for two files of one name.
    """
    probes = [load_probe(task, config.problems, config.shots, setting) for task in config.tasks]
    names = [probe.task for probe in probes]
    if len(set(names)) < len(names):
        raise UsageError(f"reflection.tasks: {', '.join(names)}: two tasks have one name; rename a file")
    facts = {}
    for probe in probes:
        scoring = _Scoring(subject, config, records, probe, setting.seed)
        scoring.planted()
        if config.own_errors:
            scoring.own()
        mine = [record for item in probe.items if (record := records.get(probe.task, item.worked.id)) is not None]
        facts[probe.task] = {**probe.about, "effects": effects(mine, derive_seed(setting.seed, "effects", probe.task))}
    return {"probes": facts, "conditions": [condition.name for condition in CONDITIONS]}


@dataclass(slots=True)
class _Item:
    """The scores of one item while they are gathered."""

    planted: Planted
    scores: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    dropped_tokens: int = 0

    def note(self, found: tuple[Mapping[str, float], Mapping[str, Any]], dropped_tokens: int) -> None:
        self.scores |= found[0]
        self.details |= found[1]
        self.dropped_tokens = max(self.dropped_tokens, dropped_tokens)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """One model on one probe."""

    subject: Subject
    config: ReflectionConfig
    records: Records
    probe: Probe
    seed: int

    @property
    def frame(self) -> Frame:
        return Frame(self.probe.examples, self.config.trigger, self.config.voice, self.config.carried)

    def planted(self) -> None:
        """Score the items with a planted error."""
        work = len(CONDITIONS) * (2 * ("likelihood" in self.config.forms) + ("generation" in self.config.forms))
        task, frame = self.probe.task, self.frame
        with progress(f"reflection {task}", total=work * len(self.probe.items), unit="requests") as bar:
            for items in self._waiting(task, bar, work):
                asked = [(item, condition) for item in items for condition in CONDITIONS]
                if "likelihood" in self.config.forms:
                    self._likelihoods(asked, bar)
                if "generation" in self.config.forms:
                    self._answers(asked, bar)
                for item in items:
                    shown = prompt_digest(*(frame.prompt(item.planted, condition) for condition in CONDITIONS))
                    self._add(task, item, shown)

    def _waiting(self, task: str, bar: ProgressBar, work: int) -> Iterator[list[_Item]]:
        """Yield what is not scored yet, a chunk at a time. `work` is how many requests an item takes."""
        waiting = [planted for planted in self.probe.items if not self.records.has(task, planted.worked.id)]
        bar.resume_at(work * (len(self.probe.items) - len(waiting)))
        step = max(1, at_once(self.subject, _CHUNK * work) // work)
        for begin in range(0, len(waiting), step):
            yield [_Item(planted) for planted in waiting[begin : begin + step]]

    def _likelihoods(self, asked: Sequence[tuple[_Item, Condition]], bar: ProgressBar) -> None:
        frame = self.frame
        pairs = [frame.pair(item.planted, condition, right=right) for item, condition in asked for right in (True, False)]
        found = self.subject.loglikelihoods(pairs, bar.advance)
        for (item, condition), right, wrong in zip(asked, found[::2], found[1::2], strict=True):
            item.note(from_likelihoods(right, wrong, condition), max(right.dropped_tokens, wrong.dropped_tokens))

    def _answers(self, asked: Sequence[tuple[_Item, Condition]], bar: ProgressBar) -> None:
        # Without a trigger the model begins a line of its own.
        prompts = [self.frame.prompt(item.planted, c) + ("" if c.triggered else "\n") for item, c in asked]
        for (item, condition), answer in zip(asked, self._complete(prompts, bar), strict=True):
            item.note(from_answer(item.planted, answer, condition), answer.dropped_tokens)

    def _complete(self, prompts: Sequence[str], bar: ProgressBar | None) -> list[Answer]:
        decoding = Decoding(max_new_tokens=self.config.max_new_tokens, stop=_STOP)
        seeds = [
            derive_seed(self.seed, "reflection", number) for number in range(len(prompts))
        ]  # greedy: not used by most subjects
        return self.subject.complete(prompts, decoding, seeds, bar.advance if bar is not None else nothing_done)

    def own(self) -> None:
        """Let the model answer by itself, and go on after the trigger where its answer was wrong."""
        task, frame = f"{self.probe.task}:own", self.frame
        with progress(f"reflection {task}", total=len(self.probe.items), unit="answers") as bar:
            for items in self._waiting(task, bar, 1):
                prompts = [frame.question(item.planted.worked) for item in items]
                first = self._complete([f"{prompt}\n" for prompt in prompts], bar)
                wrong = []
                for item, prompt, answer in zip(items, prompts, first, strict=True):
                    is_right = final_answer(answer.text) == item.planted.right_answer
                    item.note(({"first_right": float(is_right)}, {"first": answer.text}), answer.dropped_tokens)
                    if not is_right:
                        wrong.append((item, f"{prompt}\n{answer.text.strip()}\n{frame.trigger}"))
                again = self._complete([prompt for _, prompt in wrong], None) if wrong else []
                for (item, _), answer in zip(wrong, again, strict=True):
                    recovered = float(final_answer(answer.text) == item.planted.right_answer)
                    scores = {"recovered": recovered, "speaks_of_error": float(recognises(answer.text))}
                    item.note((scores, {"again": answer.text}), answer.dropped_tokens)
                for item, prompt in zip(items, prompts, strict=True):
                    self._add(task, item, prompt_digest(prompt, frame.trigger))

    def _add(self, task: str, item: _Item, shown: str) -> None:
        planted = item.planted
        about = {
            "step": planted.step,
            "steps": len(planted.worked.steps),
            "wrong": str(planted.wrong),
            "right_answer": str(planted.right_answer),
            "carried_answer": str(planted.carried_answer),
        }
        self.records.add(
            Record(
                task=task,
                item=planted.worked.id,
                scores=item.scores,
                prompt=shown,
                group=planted.worked.group,
                dropped_tokens=item.dropped_tokens,
                text=planted.worked.question,
                details={**about, **item.details},
            )
        )
