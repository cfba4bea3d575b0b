"""The judge's part of MT-Bench: a rating of each turn, or which of two answers is better, asked in both orders."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.evals.endpoint.parallel import at_once
from pellucid.evals.judging import Parse, Rule, Verdict, ask_judge
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.mt_bench.prompts import JudgePrompts, read_preference, read_rating
from pellucid.evals.results import Record, Records, prompt_digest
from pellucid.evals.subject import Message, Subject
from pellucid.recipe.suites import MTBenchConfig

__all__ = ["Bench", "judge_pairs", "judge_single"]

_Scored = tuple[Mapping[str, float], Mapping[str, tuple[float, float]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Bench:
    """Who judges, by which prompts, how often nonsense is asked for again, and where verdicts go."""

    judge: Subject
    prompts: JudgePrompts
    config: MTBenchConfig
    seed: int
    records: Records


def judge_single(bench: Bench, questions: Sequence[Question], answers: Mapping[str, Sequence[str]], task: str) -> None:
    """Add a record of `task` for each question that has none: `turn_1` and `turn_2` are ratings, `rating` is over both.

    A turn whose verdict stays unreadable has no score: `rating` counts the turns that do.
    """

    def conversations(question: Question) -> list[list[Message]]:
        return [bench.prompts.single(question, answers[question.id], turn) for turn in range(len(question.turns))]

    def score(question: Question, verdicts: Sequence[Verdict]) -> _Scored:
        rated = {f"turn_{turn}": one.value for turn, one in enumerate(verdicts, start=1) if one.value is not None}
        details = [{"rating": one.value, **_told(one)} for one in verdicts]
        return rated, {"rating": (sum(rated.values()), float(len(rated)))} if rated else {}, details

    _judge(bench, questions, task, conversations, score, read_rating)


def judge_pairs(
    bench: Bench,
    questions: Sequence[Question],
    answers: Mapping[str, Sequence[str]],
    others: Mapping[str, Sequence[str]],
    task: str,
) -> None:
    """Add a record of `task` for each question: `turn_1`, `turn_2` and `win_rate` are 1 for a win, ½ for a tie, 0 for a loss.

    Each turn is asked twice, with the other answer first the second time. A win needs both orders; orders that disagree are a tie
    (Zheng et al., section 3.4), and `agreement` is the share of turns where they agree. Without either verdict a turn has no score.
    """

    def conversations(question: Question) -> list[list[Message]]:
        ours, theirs = answers[question.id], others[question.id]
        orders = [(ours, theirs), (theirs, ours)]
        return [bench.prompts.pair(question, *order, turn) for turn in range(len(question.turns)) for order in orders]

    def score(question: Question, verdicts: Sequence[Verdict]) -> _Scored:
        points: dict[str, float] = {}
        details, agreed = [], 0
        for turn in range(len(question.turns)):
            first, second = verdicts[2 * turn : 2 * turn + 2]
            row: dict[str, Any] = {"ours_first": first.value, "theirs_first": second.value, "points": None}
            if first.value is not None and second.value is not None:
                # The second time A is theirs.
                agrees = first.value == -second.value
                row["points"] = points[f"turn_{turn + 1}"] = (first.value + 1) / 2 if agrees else 0.5
                agreed += agrees
            details.append({**row, "orders": [_told(first), _told(second)]})
        count = float(len(points))
        return points, {"win_rate": (sum(points.values()), count), "agreement": (float(agreed), count)} if points else {}, details

    _judge(bench, questions, task, conversations, score, read_preference)


def _judge(
    bench: Bench,
    questions: Sequence[Question],
    task: str,
    conversations: Callable[[Question], list[list[Message]]],
    score: Callable[[Question, Sequence[Verdict]], _Scored],
    parse: Parse,
) -> None:
    name = str(bench.judge.identity.get("model", bench.judge.label))
    _same_judge(bench, task, name)
    todo = [question for question in questions if not bench.records.has(task, question.id)]
    with progress("MT-Bench judgements", total=len(questions), unit="questions") as bar:
        bar.resume_at(len(questions) - len(todo))
        while todo:
            requests = len(conversations(todo[0]))
            together = max(1, at_once(bench.judge, bench.config.together * requests) // requests)
            chunk, todo = todo[:together], todo[together:]
            asked = [(question, at, one) for question in chunk for at, one in enumerate(conversations(question))]
            seeds = [derive_seed(bench.seed, task, question.id, at) for question, at, _ in asked]
            rule = Rule(parse, bench.config.judge_attempts, bench.config.judge_tokens)
            verdicts = ask_judge(bench.judge, [one for _, _, one in asked], rule, seeds, bar.parts(len(chunk) / len(asked)))
            for question in chunk:
                own = [verdict for (whose, _, _), verdict in zip(asked, verdicts, strict=True) if whose is question]
                scores, ratios, turns = score(question, own)
                details: dict[str, Any] = {"judge": name, "judge_prompts": bench.prompts.digest, "turns": turns}
                details["with_reference"] = question.references is not None
                shown = prompt_digest(*question.turns, *(question.references or ()), bench.prompts.digest)
                text = "\n".join(question.turns)
                bench.records.add(Record(task, question.id, scores, ratios, shown, question.category, text=text, details=details))


def _same_judge(bench: Bench, task: str, name: str) -> None:
    """Raise `UsageError` when earlier verdicts are another judge's, or by other prompts: they must not be averaged."""
    for record in bench.records:
        if record.task != task:
            continue
        if record.details["judge"] != name:
            raise UsageError(
                f"mt_bench: judge {name}, but the {task} that are already there are by {record.details['judge']}; two judges' "
                "scores are not one average: go on with that judge, or take another output folder"
            )
        if record.details["judge_prompts"] != bench.prompts.digest:
            raise UsageError(
                f"mt_bench: judge prompts {bench.prompts.digest}, but the {task} that are already there are by "
                f"{record.details['judge_prompts']}: go on with those prompts, or take another output folder"
            )


def _told(verdict: Verdict) -> dict[str, Any]:
    return {
        "words": verdict.words,
        "asked": verdict.asked,
        "prompt_tokens": verdict.prompt_tokens,
        "new_tokens": verdict.new_tokens,
        "unjudged": verdict.unjudged,
    }
