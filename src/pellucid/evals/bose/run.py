"""The suite `bose`: each question asked in plain ways and in those made for base models.

A task's variants are tasks of their own in the result, TASK:VARIANT, with the same items: `arc_easy:letter`, `:option`,
`:option_bytes`, `:blank`; `gsm8k:plain`, `:shots`, `:iclip`. One result says which scores higher. Which is more stable is told by
the results of several checkpoints (`stability`), and for one model by how much its score moves with the form (`FORMS`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from pellucid.core.errors import UsageError
from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.bose.iclip import OpenVariant, open_prompt
from pellucid.evals.bose.open_questions import OpenTask, load_open_task
from pellucid.evals.bose.open_questions import score as score_open
from pellucid.evals.bose.question import ChoiceTask, Question, load_choice_task
from pellucid.evals.bose.variants import COSTS, VARIANTS, Variant, ask
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Decoding, Likelihood, Setting, Subject
from pellucid.recipe.suites import BoseConfig

__all__ = ["run"]

T = TypeVar("T")
_CHUNK = 16
_STOP = {"number": ("\n\n", "\nQuestion:", "\nProblem:", "\nQ:"), "text": ("\n",)}


def run(subject: Subject, config: BoseConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score what `records` does not hold; return where the questions come from, and how much each score moves with the form.

    Raises what `load_choice_task` and `load_open_task` raise, before anything is scored.
    """
    choice_tasks = [load_choice_task(name, config.choice_shots, setting) for name in config.tasks]
    open_tasks = [load_open_task(name, config.shots, setting) for name in config.open_tasks]
    names = [task.name for task in choice_tasks] + [task.name for task in open_tasks]
    if len(set(names)) < len(names):
        raise UsageError(f"bose: {', '.join(names)}: two tasks have one name; rename a file, or leave one out")
    if not names:
        raise UsageError("bose.tasks and bose.open_tasks are both empty; name at least one task")
    facts: dict[str, Any] = {}
    for choice_task in choice_tasks:
        scored = [name for variant in VARIANTS for name in COSTS[variant]]
        for variant in VARIANTS:
            _score_choices(subject, config, records, choice_task, variant)
        facts[choice_task.name] = {**choice_task.about, "forms": _forms(records, choice_task.name, scored)}
    for open_task in open_tasks:
        for way in config.open_variants:
            _score_open(subject, config, (setting, records), open_task, way)
        facts[open_task.name] = {
            **open_task.about,
            "kind": open_task.kind,
            "forms": _forms(records, open_task.name, config.open_variants),
        }
    return {"tasks": facts, "shots": config.shots, "choice_shots": config.choice_shots, "forms": config.forms}


def _score_choices(subject: Subject, config: BoseConfig, records: Records, task: ChoiceTask, variant: Variant) -> None:
    names = [f"{task.name}:{name}" for name in COSTS[variant]]
    work = config.forms * sum(len(question.choices) for question in task.questions)
    waiting = [one for one in task.questions if not all(records.has(name, one.id) for name in names)]
    with progress(f"bose {task.name}:{variant}", total=work, unit="choices") as bar:
        bar.resume_at(work - config.forms * sum(len(question.choices) for question in waiting))
        for chunk in _chunks(waiting, subject, config.forms * len(task.questions[0].choices)):
            pairs = [[ask(question, variant, form, task.examples) for form in range(config.forms)] for question in chunk]
            found = iter(subject.loglikelihoods([pair for one in pairs for form in one for pair in form], bar.advance))
            for question, asked in zip(chunk, pairs, strict=True):
                by_form = [[next(found) for _ in form] for form in asked]
                digest = prompt_digest(*(part for form in asked for pair in form for part in pair))
                for record in _choice_records(task.name, variant, question, by_form, digest):
                    if not records.has(record.task, record.item):
                        records.add(record)


def _choice_records(
    task: str, variant: Variant, question: Question, by_form: Sequence[Sequence[Likelihood]], digest: str
) -> Iterator[Record]:
    """Yield a record for each cost that a variant's likelihoods give. Of equal costs the first wins.

    `softmax_right` is the right choice's share of exp(−cost) over all choices: how clearly it wins. Only where costs are the nats
    of the whole choice (`letter`, `option`) it is a probability, that of the right choice if it is one of these; where they are
    means by byte or token (`option_bytes`, `blank`) it is none.
    """
    for name, cost in COSTS[variant].items():
        costs = [cost(found, question.choices) for found in by_form]
        right = [float(min(range(len(one)), key=one.__getitem__) == question.label) for one in costs]
        least = min(costs[0])
        weights = [math.exp(least - one) for one in costs[0]]
        yield Record(
            task=f"{task}:{name}",
            item=question.id,
            scores={"acc": right[0], "softmax_right": weights[question.label] / sum(weights), **_over_forms(right)},
            prompt=digest,
            group=question.group,
            dropped_tokens=max(one.dropped_tokens for found in by_form for one in found),
            text={"question": question.text, "answer": question.choices[question.label]},
            details={
                "label": question.label,
                "right_by_form": right,
                "nats": [round(one.nats, 5) for one in by_form[0]],
                "tokens": [one.tokens for one in by_form[0]],
            },
        )


def _score_open(subject: Subject, config: BoseConfig, where: tuple[Setting, Records], task: OpenTask, variant: OpenVariant) -> None:
    setting, records = where
    name = f"{task.name}:{variant}"
    waiting = [question for question in task.questions if not records.has(name, question.id)]
    decoding = Decoding(max_new_tokens=config.max_new_tokens, stop=_STOP[task.kind])
    with progress(f"bose {name}", total=config.forms * len(task.questions), unit="answers") as bar:
        bar.resume_at(config.forms * (len(task.questions) - len(waiting)))
        for chunk in _chunks(waiting, subject, config.forms):
            prompts = [open_prompt(task, question, variant, form) for question in chunk for form in range(config.forms)]
            seeds = [derive_seed(setting.seed, "bose", name, one.id, form) for one in chunk for form in range(config.forms)]
            answers = iter(subject.complete(prompts, decoding, seeds, bar.advance))
            for number, question in enumerate(chunk):
                by_form = [next(answers) for _ in range(config.forms)]
                scored = [score_open(task, question, answer.text) for answer in by_form]
                right = [float(one.right) for one in scored]
                records.add(
                    Record(
                        task=name,
                        item=question.id,
                        scores={"acc": right[0], "holds": float(scored[0].holds), **_over_forms(right)},
                        prompt=prompt_digest(*prompts[number * config.forms : (number + 1) * config.forms]),
                        group=question.group,
                        dropped_tokens=max(answer.dropped_tokens for answer in by_form),
                        text={"question": question.text, "answer": question.answers[0]},
                        details={
                            "right_by_form": right,
                            "text": by_form[0].text,
                            "found": scored[0].found,
                            "answers": list(question.answers[:8]),
                            "stopped_by": by_form[0].stopped_by,
                        },
                    )
                )


def _over_forms(right: Sequence[float]) -> dict[str, float]:
    """Return the mean over forms, and whether the form decides if the item is right."""
    return {"acc_forms": sum(right) / len(right), "form_decides": float(len(set(right)) > 1)} if len(right) > 1 else {}


def _forms(records: Records, task: str, variants: Sequence[str]) -> dict[str, Any]:
    """Return each variant's accuracy by form, and their standard deviation; None with one form."""
    found = {}
    for variant in variants:
        rows = [record.details["right_by_form"] for record in records if record.task == f"{task}:{variant}"]
        if rows:
            acc_F = np.array(rows).mean(axis=0)
            spread = float(acc_F.std(ddof=1)) if len(acc_F) > 1 else None
            found[variant] = {"acc_by_form": acc_F.tolist(), "stdev": spread}
    return found


def _chunks(items: Sequence[T], subject: Subject, requests: int) -> Iterator[Sequence[T]]:
    """Yield the items of one call each; each item takes about so many requests."""
    size = max(1, at_once(subject, _CHUNK * requests) // requests)
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
