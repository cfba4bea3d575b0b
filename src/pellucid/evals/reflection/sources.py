"""Where worked answers come from: made by program, GSM8K in the folder of data, or a file of the user's own.

A file holds a JSON object a line: `question`, `answer` (its worked answer, a calculation in <<16-3-4=9>> before each result, and
the final answer after ####, as GSM8K writes it), and `id` if lines have names. `context`, `chain_of_thought` and `answer` will do.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.reflection import arithmetic, gsm8k
from pellucid.evals.reflection.plant import CannotPlantError, Planted, plant
from pellucid.evals.reflection.worked import Worked
from pellucid.evals.subject import Setting

__all__ = ["Probe", "find_gsm8k", "load_probe", "read_solutions"]

_GSM8K = ("gsm8k/test.jsonl", "gsm8k.jsonl", "sets/gsm8k.jsonl")
_PLANT_SEED = 1  # the errors are part of the items: the same whatever the run's seed
_EXAMPLES_FROM = 1_000_000  # problems that are only ever examples


@dataclass(frozen=True)
class Probe:
    """The items of one task, the examples before each of them, and what was left out and why."""

    task: str
    items: tuple[Planted, ...]
    examples: tuple[Worked, ...]
    about: Mapping[str, Any]


def load_probe(task: str, problems: int, shots: int, setting: Setting) -> Probe:
    """Return a task's items, at most `setting.limit` of them, chosen by the seed.

    `problems` is how many `arithmetic` makes. Raises `UsageError` for an unknown name or GSM8K without data, and `DataError` for a
    file with a line that is no worked answer or with too few usable ones.
    """
    if task == "arithmetic":
        worked = [arithmetic.problem(number) for number in range(problems)]
        examples = [arithmetic.problem(_EXAMPLES_FROM + 13 * number) for number in range(shots)]
        items, left_out = _planted(worked)
        about: dict[str, Any] = {"version": arithmetic.VERSION}
    else:
        file = _find(task, setting.data)
        worked, left_out = _read(file)
        worked.sort(key=lambda one: derive_seed(_PLANT_SEED, "example", one.id))
        if len(worked) <= shots:
            raise DataError(f"{file} has {len(worked)} usable worked answers; {shots} examples and at least one item are needed")
        examples, worked = worked[:shots], worked[shots:]
        items, no_place = _planted(worked)
        left_out += no_place
        about = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    if not items:
        raise DataError(f"{task}: no worked answer takes an error ({dict(left_out)})")
    chosen = sorted(items, key=lambda item: derive_seed(setting.seed, "item", task, item.worked.id))[: setting.limit]
    about |= {
        "items": len(items),
        "chosen": len(chosen),
        "examples": [example.id for example in examples],
        "left_out": dict(left_out),
    }
    return Probe(Path(task).stem if task != "arithmetic" else task, tuple(chosen), tuple(examples), about)


def _planted(worked: Sequence[Worked]) -> tuple[list[Planted], Counter[str]]:
    items, left_out = [], Counter[str]()
    for one in worked:
        try:
            items.append(plant(one, _PLANT_SEED))
        except CannotPlantError as error:
            left_out[str(error)] += 1
    return items, left_out


def _find(task: str, data: str | None) -> Path:
    if task != "gsm8k":
        if Path(task).is_file():
            return Path(task)
        raise UsageError(f"reflection.tasks: {task!r} is neither arithmetic, nor gsm8k, nor a file with worked answers")
    return find_gsm8k(data, "reflection.tasks")


def find_gsm8k(data: str | None, field: str) -> Path:
    """Return GSM8K's file in the folder of data; raise `UsageError`, naming the config's field, where it is not there."""
    tried = [Path(data) / name for name in _GSM8K] if data is not None else []
    for file in tried:
        if file.is_file():
            return file
    where = f"none of {', '.join(map(str, tried))} is there" if tried else "no folder of data is given"
    raise UsageError(f"{field}: gsm8k needs its worked answers, and {where}; give --data-dir DIR with DIR/{_GSM8K[0]}")


def _read(file: Path) -> tuple[list[Worked], Counter[str]]:
    found, left_out = [], Counter[str]()
    for id_, fields in read_solutions(file):
        try:
            found.append(gsm8k.read_worked(id_, *fields))
        except gsm8k.UnusableError as error:
            left_out[str(error)] += 1
    return found, left_out


def read_solutions(file: Path) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield (id, (question, worked answer, final answer)) of a file; raise `DataError` for a line that has them not."""
    known: set[str] = set()
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
            if "chain_of_thought" in row:
                fields = (row["context"], row["chain_of_thought"], row["answer"])
            else:
                solution, mark, answer = row["answer"].rpartition("####")
                if not mark:
                    raise KeyError("#### in answer")
                fields = (row["question"], solution, answer)
            if not all(isinstance(field, str) for field in fields):
                raise TypeError("a field is no text")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}, line {number} is no worked answer ({type(error).__name__}: {error}); it needs question, and answer with"
                " #### before the final answer"
            ) from error
        id_ = str(row.get("id", number - 1))
        if id_ in known:
            raise DataError(f"{file}, line {number}: id {id_!r} is there twice; each worked answer needs its own")
        known.add(id_)
        yield id_, fields
