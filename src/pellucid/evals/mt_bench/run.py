"""The suite mt_bench: the model answers, the judge grades, each keeps what is done."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.evals.judging import need_judge, spent
from pellucid.evals.mt_bench.answers import ANSWERS, answer_texts, write_answers
from pellucid.evals.mt_bench.data import Question, Questions, chosen, load_questions, stored_answers
from pellucid.evals.mt_bench.judgements import Bench, judge_pairs, judge_single
from pellucid.evals.mt_bench.prompts import load_prompts
from pellucid.evals.results import Record, Records
from pellucid.evals.subject import Setting, Subject
from pellucid.recipe.suites import MTBenchConfig

__all__ = ["SINGLE", "run"]

SINGLE = "mt_bench.judgements"
"""Task of the records that hold ratings. Pairwise ones are `mt_bench.pairwise:OTHER`."""


def run(subject: Subject, config: MTBenchConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Answer and grade what `records` lacks; return the facts: data, judge, means by turn, what is unjudged, costs.

    Raises `UsageError` without a judge or without questions, and what the model or the judge raise; what is done is kept.
    """
    judge = need_judge(setting, "mt_bench")
    loaded = load_questions(setting, config.reference)
    questions = chosen(loaded.questions, setting.limit, setting.seed)
    bench = Bench(judge, load_prompts(loaded.judge_prompts), config, setting.seed, records)
    against = _against(config)
    write_answers(subject, questions, config, setting, records)
    answers = {question.id: answer_texts(records, question) for question in questions}
    if against is None:
        task, compared = SINGLE, questions
        judge_single(bench, questions, answers, task)
    else:
        other, others = against
        task = f"mt_bench.pairwise:{other}"
        compared = [question for question in questions if len(others.get(question.id, ())) >= len(question.turns)]
        if not compared:
            raise UsageError(f"mt_bench.against: {other} has answered none of the {len(questions)} questions")
        judge_pairs(bench, compared, answers, others, task)
    ids = {question.id for question in questions}
    judged = [record for record in records if record.task == task and record.item in ids]
    written = [record for record in records if record.task == ANSWERS and record.item in ids]
    asked = [one for record in judged for turn in record.details["turns"] for one in turn.get("orders", [turn])]
    return {
        **_data(loaded, questions),
        "mode": config.mode,
        "judge": {**judge.identity, "prompts": bench.prompts.source, "prompts_digest": bench.prompts.digest},
        "not_answered_by_the_other": len(questions) - len(compared),
        "mean": _means(judged),
        "unjudged_turns": sum(_unjudged(turn) for record in judged for turn in record.details["turns"]),
        "no_verdict": dict(Counter(one["unjudged"] for one in asked if one.get("unjudged") is not None)),
        **(_preferences(judged) if against is not None else {}),
        "answers_stopped_by": dict(Counter(turn["stopped_by"] for record in written for turn in record.details["turns"])),
        "spent": {
            "model": spent(subject, [turn for record in written for turn in record.details["turns"]]),
            "judge": spent(judge, asked),
        },
    }


def _against(config: MTBenchConfig) -> tuple[str, dict[str, tuple[str, ...]]] | None:
    if config.mode == "single":
        return None
    if config.against is None:
        raise UsageError("mt_bench.mode pairwise needs mt_bench.against: the folder of the other model's results of this suite")
    return stored_answers(Path(config.against))


def _data(loaded: Questions, questions: Sequence[Question]) -> dict[str, Any]:
    return {
        "questions": len(questions),
        "of": len(loaded.questions),
        "data": dict(loaded.digests),
        "judged_by_reference": sum(question.references is not None for question in questions),
        "without_their_reference": sum(question.wants_reference and question.references is None for question in questions),
    }


def _means(judged: Sequence[Record]) -> dict[str, float]:
    """Return the mean of each turn, and over all turns: no mean of means."""
    turns = sorted({name for record in judged for name in record.scores})
    values = {name: [record.scores[name] for record in judged if name in record.scores] for name in turns}
    every = [value for column in values.values() for value in column]
    means = {name: sum(column) / len(column) for name, column in values.items()}
    return {**means, "overall": sum(every) / len(every)} if every else {}


def _unjudged(turn: Mapping[str, Any]) -> bool:
    return turn["points" if "points" in turn else "rating"] is None


def _preferences(judged: Sequence[Record]) -> dict[str, Any]:
    turns = [turn for record in judged for turn in record.details["turns"] if turn["points"] is not None]
    points = Counter(turn["points"] for turn in turns)
    # The same letter in both orders is a liking for a place.
    places = Counter(turn["ours_first"] for turn in turns if turn["ours_first"] == turn["theirs_first"])
    return {
        "wins": points[1.0],
        "ties": points[0.5],
        "losses": points[0.0],
        "preferred_what_came_first": places[1.0],
        "preferred_what_came_second": places[-1.0],
    }
