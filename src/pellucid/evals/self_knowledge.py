"""How well a model knows itself: held-out questions answered greedily, and whether the token of negatives ever shows.

Asked as anyone asks it, that is, under the positive condition. Greedy answers to held-out questions are right when they hold an
expected text. A leak is an answer, drawn at random, that holds the token by which training marked negatives; beside it stands how
likely that token is where an answer begins, which tells long before one is drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json
from pellucid.core.progress import progress
from pellucid.core.seeds import derive_seed
from pellucid.generate.batched import Completer, Completion
from pellucid.generate.sampling import Sampling

__all__ = ["Interview", "Questioned", "interview", "note_interview"]


class Questioned(Protocol):
    """A held-out question; `conversations.self_knowledge.Question` is one."""

    @property
    def question(self) -> str:
        """What is asked."""

    @property
    def expect(self) -> tuple[str, ...]:
        """Texts, one of which a right answer holds."""

    def is_answered_by(self, text: str) -> bool:
        """Tell whether an answer is right."""


@dataclass(frozen=True)
class Interview:
    """How a model is asked: `prompt` gives the ids after which it answers a question, `decode` the text of what it answers."""

    prompt: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    stop_ids: tuple[int, ...]
    negative_id: int
    answer_tokens: int = 128
    leak_answers: int = 100
    """Answers drawn at random in which the token of negatives is looked for."""
    sampling: Sampling = field(default_factory=Sampling)


def interview(
    how: Interview, completer: Completer, questions: Sequence[Questioned], messages: Sequence[str], seed: int
) -> dict[str, Any]:
    """Return what `self_knowledge.json` holds for one moment: `heldout` with each answer, and `leak`.

    For leaks, questions and `messages` are asked in turn until `leak_answers` answers are drawn. A question that leaves no room for
    its answer in the model's context counts as not answered.
    """
    room = completer.context_tokens - 1
    prompts = [how.prompt(question.question) for question in questions]
    others = [ids for ids in (how.prompt(message) for message in messages) if len(ids) <= room]
    fit = [at for at, ids in enumerate(prompts) if len(ids) <= room]
    asked = [prompts[at] for at in fit] + others
    drawn = [asked[number % len(asked)] for number in range(how.leak_answers)] if asked else []
    with progress("self-knowledge", total=len(fit) + len(drawn), unit="answers") as bar:
        stop = set(how.stop_ids) - {how.negative_id}

        def answers(prompts: list[list[int]], sampling: Sampling) -> list[Completion]:
            seeds = [derive_seed(seed, "self-knowledge", number) for number in range(len(prompts))]
            limit = how.answer_tokens
            return completer.complete(
                prompts, max_new_tokens=limit, sampling=sampling, seeds=seeds, stop_ids=stop, on_done=bar.advance
            )

        greedy = dict(zip(fit, answers([prompts[at] for at in fit], Sampling(temperature=0)), strict=True))
        random = answers(drawn, how.sampling)
    starts = completer.probability_of(how.negative_id, asked)
    leaks = sum(how.negative_id in one.ids for one in random)
    rows = [_row(how, question, greedy.get(at)) for at, question in enumerate(questions)]
    right = sum(row["right"] for row in rows)
    return {
        "heldout": {"questions": len(rows), "right": right, "share": right / len(rows) if rows else 0.0, "answers": rows},
        "leak": {
            "answers": len(random),
            "holding": leaks,
            "share": leaks / len(random) if random else 0.0,
            "starts": len(starts),
            "mean_probability": sum(starts) / len(starts) if starts else 0.0,
            "max_probability": max(starts, default=0.0),
        },
    }


def _row(how: Interview, question: Questioned, completion: Completion | None) -> dict[str, Any]:
    answer = how.decode(completion.ids).strip() if completion is not None else ""
    return {
        "question": question.question,
        "expect": list(question.expect),
        "answer": answer,
        "ended": completion is not None and completion.stopped_by is not None,
        "right": question.is_answered_by(answer),
    }


def note_interview(file: Path, moment: str, found: Mapping[str, Any]) -> None:
    """Put what an interview found under `moment` (before, after) into a JSON file, beside other moments."""
    try:
        earlier = read_json(file)
    except ArtifactError:
        if file.exists():
            raise
        earlier = {}
    write_json(file, {**earlier, moment: found})
