"""Items of one task of the harness: what is asked, and what its own code makes of the answers, as records.

Examples before a question are drawn as the harness draws them in a complete run, whatever subset is asked and in however many
calls: item k has the k-th draw.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pellucid.core.errors import DataError
from pellucid.evals.choices.bare import bare_question
from pellucid.evals.harness.model import Requests
from pellucid.evals.harness.tasks import FEWSHOT_SEED, HarnessTask
from pellucid.evals.results import Record, prompt_digest
from pellucid.evals.subject import Answer, Likelihood, OnDone, nothing_done

__all__ = ["RAW", "Place", "Question", "check_labels", "documents", "metric_name", "questions", "same_questions", "score"]

RAW = "raw"
"""Key in a record's details of what an aggregation other than a mean needs: {metric: value}."""


class Place(NamedTuple):
    """Where an item stands in the result: the task's name there, the item's own for good, and its group (a subject, a language)."""

    task: str
    item: str
    group: str | None


@dataclass
class Question:
    """One item: its task, its number in the task's data, its document, and the harness' instances that ask it."""

    loaded: HarnessTask
    number: int
    document: Any
    instances: list[Any]

    @property
    def requests(self) -> int:
        """How many requests it takes: instances times their repeats."""
        return sum(instance.repeats or 1 for instance in self.instances)

    @property
    def prompt(self) -> str:
        """Digest of everything that the model is shown."""
        ordered = sorted(self.instances, key=lambda instance: instance.idx)
        return prompt_digest(*(str(part) for instance in ordered for part in instance.args))

    def is_of(self, record: Record) -> bool:
        """Tell whether a record is of this very item: the same prompts, and the same answer held to be right."""
        target = _target(self.loaded.task, self.document)
        return record.prompt == self.prompt and record.details.get("target") == target.get("target")


def documents(loaded: HarnessTask) -> Sequence[Any]:
    """Return the documents that the task scores, processed by its own code, in the order of its data."""
    task = loaded.task
    found: Sequence[Any] = task.task_docs if hasattr(task, "task_docs") else list(task.eval_docs)
    return found


def check_labels(loaded: HarnessTask, numbers: Sequence[int]) -> None:
    """Raise `DataError` naming file and line when an item's label is none of its choices.

    The harness itself only warns, and counts such an item as wrong.
    """
    task, docs = loaded.task, documents(loaded)
    if task.OUTPUT_TYPE != "multiple_choice" or getattr(task.config, "doc_to_choice", None) is None:
        return
    for number in numbers:
        document = docs[number]
        try:
            choices, gold = task.doc_to_choice(document), _gold(task, document)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"task {loaded.name}: {loaded.place(number)}: the label is none of the choices ({error})") from error
        for label in gold if isinstance(gold, list) else [gold]:
            if (label not in choices) if isinstance(label, str) else not 0 <= label < len(choices):
                raise DataError(
                    f"task {loaded.name}: {loaded.place(number)}: the label is {label!r}; "
                    f"it must be 0 to {len(choices) - 1}, the number of the right choice"
                )


def _gold(task: Any, document: Any) -> Any:
    return task.doc_to_text(document) if getattr(task, "multiple_input", 0) else task.doc_to_target(document)


def same_questions(loaded: HarnessTask, numbers: Sequence[int]) -> list[Question]:
    """Return the items of these numbers, and leave the task's draws as before the first of them."""
    found = list(questions(loaded, numbers))
    loaded.task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return found


def questions(loaded: HarnessTask, numbers: Sequence[int]) -> Iterator[Question]:
    """Yield the items of these numbers, ascending, with their instances."""
    wanted, docs = set(numbers), documents(loaded)
    if not loaded.fewshot:
        for number in sorted(wanted):
            yield _question(loaded, number, docs[number])
        return
    for number in range(max(wanted, default=-1) + 1):
        if number in wanted:
            yield _question(loaded, number, docs[number])
        else:
            _draw(loaded, docs[number])


def _question(loaded: HarnessTask, number: int, document: Any) -> Question:
    task = loaded.task
    context = task.fewshot_context(document, num_fewshot=loaded.fewshot, **_prefix(task, document))
    named = (loaded.name, number, getattr(task.config, "repeats", 1))
    made = task.construct_requests(doc=document, ctx=context, metadata=named)
    return Question(loaded, number, document, made if isinstance(made, list) else [made])


def _prefix(task: Any, document: Any) -> dict[str, Any]:
    from lm_eval.api.task import ConfigurableTask

    return {"gen_prefix": task.doc_to_prefix(document)} if isinstance(task, ConfigurableTask) else {}


def _draw(loaded: HarnessTask, document: Any) -> None:
    """Draw the examples of an item that is not asked, and forget them (`ConfigurableTask.fewshot_context`)."""
    from lm_eval.api.task import ConfigurableTask

    task = loaded.task
    if isinstance(task, ConfigurableTask):
        same = task.fewshot_cfg.split == task.config.test_split
        task.sampler.sample(n=loaded.fewshot, eval_doc=document if same else None)
    else:
        task.fewshot_context(document, num_fewshot=loaded.fewshot)


def score(asked: Sequence[tuple[Question, Place]], requests: Requests, on_done: OnDone = nothing_done) -> Iterator[Record]:
    """Ask all questions at once and yield the record of each, under its place in the result."""
    found: dict[int, list[Any]] = {}
    kinds: dict[str, list[Any]] = {}
    for question, _ in asked:
        for instance in question.instances:
            kinds.setdefault(instance.request_type, []).extend([instance] * (instance.repeats or 1))
    ask: dict[str, Callable[..., Sequence[Any]]]
    ask = {"loglikelihood": requests.likelihoods, "loglikelihood_rolling": requests.rolling, "generate_until": requests.answers}
    for kind, instances in kinds.items():
        for instance, answer in zip(instances, ask[kind](instances, on_done), strict=True):
            found.setdefault(id(instance), []).append(answer)
            instance.resps.append(_response(kind, answer))
    for question, place in asked:
        for ensemble in question.loaded.task._filters:
            ensemble.apply(question.instances)
        answers = [answer for instance in question.instances for answer in found[id(instance)]]
        yield _record(question, answers, place)


def _response(kind: str, answer: Any) -> Any:
    if kind == "generate_until":
        return answer.text
    return -answer.nats if kind == "loglikelihood_rolling" else (-answer.nats, answer.greedy)


def metric_name(metric: str, of_filter: str) -> str:
    """Return a metric's name in records: with the filter of answers behind a comma, as the harness prints it, if there is one."""
    return metric if of_filter == "none" else f"{metric},{of_filter}"


def _record(question: Question, answers: Sequence[Any], place: Place) -> Record:
    task = question.loaded.task
    instances = sorted(question.instances, key=lambda instance: instance.idx)
    scores: dict[str, float] = {}
    ratios: dict[str, tuple[float, float]] = {}
    raw: dict[str, Any] = {}
    for of_filter in instances[0].filtered_resps:
        results = [instance.filtered_resps[of_filter] for instance in instances]
        for metric, value in task.process_results(question.document, results).items():
            name, aggregation = metric_name(metric, of_filter), getattr(task.aggregation().get(metric), "__name__", "mean")
            if aggregation in ("mean", "nanmean") and not isinstance(value, (list, tuple)):
                if not math.isnan(float(value)):
                    scores[name] = float(value)
                continue
            raw[name] = _plain(value)
            ratios.update(_ratio(name, aggregation, value))
    return Record(
        task=place.task,
        item=place.item,
        scores=scores,
        ratios=ratios,
        prompt=question.prompt,
        group=place.group,
        dropped_tokens=max((answer.dropped_tokens for answer in answers), default=0),
        text=_text(task, question.document),
        details={**_details(task, question.document, answers), **({RAW: raw} if raw else {})},
    )


def _text(task: Any, document: Any) -> str | dict[str, Any]:
    """Return the item itself: the document's own question, and passage where it has one, with its choices or its answer."""
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        return str(task.doc_to_target(document))
    text: dict[str, Any] = _asked(task, document)
    if task.OUTPUT_TYPE != "multiple_choice":
        return {**text, "answer": str(task.doc_to_target(document))}
    if getattr(task, "multiple_input", 0):
        return text
    choices = list(task.doc_to_choice(document))
    if all(len(choice) <= 1 for choice in choices):  # letters: what is behind them
        named = [value for name in _OPTIONS if isinstance(value := document.get(name), str)]
        choices = document["choices"] if isinstance(document.get("choices"), list) else named or choices
    return {**text, "choices": list(choices)}


_PASSAGES = ("passage", "context", "story", "premise")
_QUESTIONS = ("question", "question_stem", "ctx", "query", "goal", "sentence", "input", "problem", "instruction", "text")
_OPTIONS = ("option_a", "option_b", "option_c", "option_d", "option_e")


def _asked(task: Any, document: Any) -> dict[str, str]:
    """Return the question, and the passage before it, as the document has them; what the task shows only where it has neither."""
    own = {name: value for name in (*_PASSAGES, *_QUESTIONS) if isinstance(value := document.get(name), str) and value.strip()}
    passages = {name: own[name].strip() for name in _PASSAGES if name in own}
    question = next((own[name] for name in _QUESTIONS if name in own), None)
    if question is None and passages:
        return passages
    return {**bare_question(question if question is not None else _shown(task, document)), **passages}


def _shown(task: Any, document: Any) -> str:
    from lm_eval.utils import apply_template

    query = getattr(task.config, "doc_to_decontamination_query", None)
    if isinstance(query, str):
        return str(document[query] if query in document else apply_template(query, document))
    return str(task.doc_to_text(document))


def _ratio(name: str, aggregation: str, value: Any) -> dict[str, tuple[float, float]]:
    """Return what of a metric can be divided after summing: nats, of which a perplexity is the exponential, and bits per byte."""
    if aggregation == "perplexity":
        return {f"nats of {name}": (-float(value), 1.0)}
    if aggregation == "weighted_perplexity":
        return {f"nats of {name}": (-float(value[0]), float(value[1]))}
    if aggregation == "bits_per_byte":
        return {name: (-float(value[0]) / math.log(2), float(value[1]))}
    return {}


def _details(task: Any, document: Any, answers: Sequence[Any]) -> dict[str, Any]:
    told = _target(task, document)
    if answers and isinstance(answers[0], Answer):
        return {**told, "answers": [answer.text for answer in answers], "stopped_by": [answer.stopped_by for answer in answers]}
    likelihoods: list[Likelihood] = list(answers)
    return {
        **told,
        "nats": [found.nats for found in likelihoods],
        "tokens": [found.tokens for found in likelihoods],
        "greedy": [found.greedy for found in likelihoods],
    }


def _target(task: Any, document: Any) -> dict[str, Any]:
    target = _plain(_gold(task, document)) if task.OUTPUT_TYPE != "loglikelihood_rolling" else None
    return {"target": target} if target is not None else {}


def _plain(value: Any) -> Any:
    """Return a value of the harness as JSON has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
