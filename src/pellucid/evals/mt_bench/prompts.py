"""What a judge is shown, and how its verdict is read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import orjson
import yaml

from pellucid.core.errors import DataError
from pellucid.evals.judging import rating_in, spoken
from pellucid.evals.mt_bench.data import Question
from pellucid.evals.results import prompt_digest
from pellucid.evals.subject import Message

__all__ = ["JudgePrompts", "load_prompts", "read_preference", "read_rating"]

_NAMES = tuple(
    f"{kind}{turns}" for kind in ("single-v1", "single-math-v1", "pair-v2", "pair-math-v1") for turns in ("", "-multi-turn")
)
_FIELD = re.compile(r"\{(\w+)\}")
_PREFERENCE = re.compile(r"\[\[([ABC])\]\]")
_LAST_PREFERENCE = re.compile(r"\[\[([ABC])\]\](?=[\W_]*\Z)")


@dataclass(frozen=True)
class JudgePrompts:
    """The eight prompts, (system, template) by name. `source` says whose wording they are; `digest` tells wordings apart."""

    prompts: Mapping[str, tuple[str, str]]
    source: str
    digest: str

    def single(self, question: Question, answers: Sequence[str], turn: int) -> list[Message]:
        """Return the conversation that asks for a rating of the answer to `turn` (0 or 1)."""
        return self._fill("single", "v1", question, turn, _numbered("answer", answers) | {"answer": answers[0]})

    def pair(self, question: Question, first: Sequence[str], second: Sequence[str], turn: int) -> list[Message]:
        """Return the conversation that asks which of two answers to `turn` is better, A (`first`) or B."""
        fields = _numbered("answer_a", first) | _numbered("answer_b", second) | {"answer_a": first[0], "answer_b": second[0]}
        return self._fill("pair", "v2", question, turn, fields)

    def _fill(self, kind: str, plain: str, question: Question, turn: int, fields: Mapping[str, str]) -> list[Message]:
        name = f"{kind}-{plain if question.references is None else 'math-v1'}{'-multi-turn' if turn else ''}"
        system, template = self.prompts[name]
        fields = {"question": question.turns[0], **_numbered("question", question.turns), **fields}
        fields |= _numbered("ref_answer", question.references or ())

        def value(match: re.Match[str]) -> str:
            return fields.get(match[1], match[0])

        content = _FIELD.sub(value, template)  # once: braces in an answer are text
        return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": content}]


def load_prompts(file: Path | None) -> JudgePrompts:
    """Return the prompts of a `judge_prompts.jsonl`, or Pellucid's own for None. Raises `DataError` for one without all eight."""
    if file is None:
        raw = yaml.safe_load(files("pellucid.evals.mt_bench").joinpath("judge_prompts.yaml").read_text(encoding="utf-8"))
        prompts = {name: (one["system"], one["prompt"]) for name, one in raw.items()}
        return JudgePrompts(prompts, "pellucid", _digest(prompts))
    try:
        rows = [orjson.loads(line) for line in file.read_bytes().splitlines() if line.strip()]
        prompts = {row["name"]: (row["system_prompt"], row["prompt_template"]) for row in rows}
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: no lines with name, system_prompt and prompt_template ({type(error).__name__}: {error})"
        ) from error
    if missing := [name for name in _NAMES if name not in prompts]:
        raise DataError(f"{file} lacks the prompts {', '.join(missing)}: add them, or take the file away to use Pellucid's own")
    return JudgePrompts({name: prompts[name] for name in _NAMES}, "data", _digest(prompts))


def read_rating(words: str, is_cut: bool = False) -> float | None:
    """Return the rating in a judge's words (`judging.rating_in`); None for none, one not from 1 to 10, or several that differ."""
    found = rating_in(words, is_cut)
    return found[0] if len(found) == 1 and 1 <= found[0] <= 10 else None


def read_preference(words: str, is_cut: bool = False) -> float | None:
    """Return 1 where a judge prefers A, −1 for B, 0 for neither; None for no verdict, or several that differ.

    Of words that were cut only a verdict at their very end counts.
    """
    found = set((_LAST_PREFERENCE if is_cut else _PREFERENCE).findall(spoken(words)))
    return {"A": 1.0, "B": -1.0, "C": 0.0}[found.pop()] if len(found) == 1 else None


def _numbered(name: str, texts: Sequence[str]) -> dict[str, str]:
    return {f"{name}_{number}": text for number, text in enumerate(texts, start=1)}


def _digest(prompts: Mapping[str, tuple[str, str]]) -> str:
    return prompt_digest(*(part for name in _NAMES for part in (name, *prompts[name])))
