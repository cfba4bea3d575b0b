"""The model's own part of MT-Bench: an answer to each turn, the second one after the first."""

from collections.abc import Sequence
from typing import Any

from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Answer, Decoding, Message, OnDone, Setting, Subject
from pellucid.recipe.suites import MTBenchConfig

__all__ = ["ANSWERS", "answer_texts", "write_answers"]

ANSWERS = "mt_bench.answers"
"""Task of the records that hold answers. They have no scores."""


def write_answers(
    subject: Subject, questions: Sequence[Question], config: MTBenchConfig, setting: Setting, records: Records
) -> None:
    """Have every question answered that `records` holds no answer to, `config.together` at a time."""
    todo = [question for question in questions if not records.has(ANSWERS, question.id)]
    todo.sort(key=lambda question: question.temperature)  # one call has one temperature
    with progress("MT-Bench answers", total=len(questions), unit="questions") as bar:
        bar.resume_at(len(questions) - len(todo))
        while todo:
            together = at_once(subject, config.together)
            chunk = [question for question in todo[:together] if question.temperature == todo[0].temperature]
            todo = todo[len(chunk) :]
            each = len(chunk) / sum(len(question.turns) for question in chunk)
            for question, answers in zip(chunk, _converse(subject, chunk, config, setting, bar.parts(each)), strict=True):
                records.add(_record(subject, question, answers))


def answer_texts(records: Records, question: Question) -> list[str]:
    """Return what the model answered to each turn."""
    record = records.get(ANSWERS, question.id)
    assert record is not None
    return [str(turn["text"]) for turn in record.details["turns"]]


def _converse(
    subject: Subject, chunk: Sequence[Question], config: MTBenchConfig, setting: Setting, on_done: OnDone
) -> list[list[Answer]]:
    decoding = Decoding(max_new_tokens=config.answer_tokens, temperature=chunk[0].temperature)
    conversations: list[list[Message]] = [[] for _ in chunk]
    answers: list[list[Answer]] = [[] for _ in chunk]
    for turn in range(max(len(question.turns) for question in chunk)):
        asked = [at for at, question in enumerate(chunk) if turn < len(question.turns)]
        for at in asked:
            conversations[at].append({"role": "user", "content": chunk[at].turns[turn]})
        seeds = [derive_seed(setting.seed, "mt_bench", "answer", chunk[at].id, turn) for at in asked]
        found = subject.chat([conversations[at] for at in asked], decoding, seeds, on_done)
        for at, answer in zip(asked, found, strict=True):
            answers[at].append(answer)
            conversations[at].append({"role": "assistant", "content": answer.text})
    return answers


def _record(subject: Subject, question: Question, answers: Sequence[Answer]) -> Record:
    turns: list[dict[str, Any]] = [
        {
            "text": answer.text,
            "stopped_by": answer.stopped_by,
            "prompt_tokens": answer.prompt_tokens,
            "new_tokens": answer.new_tokens,
        }
        for answer in answers
    ]
    return Record(
        ANSWERS,
        question.id,
        prompt=prompt_digest(*question.turns),
        text="\n".join(question.turns),
        dropped_tokens=sum(answer.dropped_tokens for answer in answers),
        details={"model": subject.label, "category": question.category, "temperature": question.temperature, "turns": turns},
    )
