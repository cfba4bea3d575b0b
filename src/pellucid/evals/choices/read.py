"""Items out of files: JSON lines, HellaSwag's text, MMLU's CSV, plain text. What cannot be an item is told with file and line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import DataError
from pellucid.evals.choices.files import read_csv_questions, read_hellaswag, read_text
from pellucid.evals.choices.item import Item, choice_item, closing_item, schema_item, text_item

__all__ = ["Prompt", "read_items", "read_mmlu"]

Prompt = Callable[[str], str]
"""What a task makes of the question in its file before it is shown."""

_LETTERS = "ABCD"


def read_items(path: Path, prompt: Prompt = str) -> Iterator[Item]:
    """Yield the items of a file; what its name ends in says how it is laid out, before .gz or .bz2 if it is compressed.

    - `.jsonl`: one object a line: `context` (or `query`), `choices` and `label` (or `gold`); or `contexts` (or `context_options`),
      `continuation` and `label`; or `context` and `continuation`; or `text`. `id` and `group` may be given, and `delimiter`, which
      stands between context and continuation where neither brings its own white space (one space unless given).
    - `.txt.bz2`: HellaSwag's own layout, six lines an item: context, label, four endings.
    - `.csv`: question, choices, answer, with or without a header; the answer is a number from 0 or a letter.
    - `.txt`: one text.

    An item's id is its `id`, or its number in the file from 0. Raises `DataError` with file and line.
    """
    names = path.name.lower().split(".")
    if names[-1] == "bz2" and names[-2:-1] == ["txt"]:
        yield from _hellaswag(path, prompt)
    elif "csv" in names[-2:]:
        yield from _csv(path, prompt)
    elif "txt" in names[-2:]:
        with _placed(path, 1):
            item = text_item(path.name, read_text(path))
        yield item
    elif {"jsonl", "json"} & set(names[-2:]):
        yield from _json_lines(path, read_text(path), prompt)
    else:
        raise DataError(f"{path} is no file of items: its name must end in .jsonl, .csv, .txt or .txt.bz2")


def read_mmlu(folder: Path) -> Iterator[Item]:
    """Yield the questions of a folder of `SUBJECT_test.csv`, with the prompt of the original code (Hendrycks et al. 2020).

    The subject is named first, then the question and the four choices by letter; a choice is its letter. An item's id is
    `SUBJECT:NUMBER`, its group the subject.
    """
    for path in sorted(folder.glob("*_test.csv")):
        subject = path.name.removesuffix("_test.csv")
        about = f"The following are multiple choice questions (with answers) about {subject.replace('_', ' ')}.\n\n"
        for number, (line, asked) in enumerate(read_csv_questions(path, choices=len(_LETTERS))):
            question = asked.question.strip()
            lines = "".join(f"{letter}. {choice}\n" for letter, choice in zip(_LETTERS, asked.choices, strict=True))
            with _placed(path, line):
                item = choice_item(f"{subject}:{number}", f"{about}{question}\n{lines}Answer:", _LETTERS, asked.label, subject)
            yield replace(item, bare={"question": question, "choices": asked.choices})


@contextmanager
def _placed(path: Path, line: int) -> Iterator[None]:
    """Have what is wrong with an item told with its place."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}, line {line}: {error}") from error


def _json_lines(path: Path, text: str, prompt: Prompt) -> Iterator[Item]:
    ids: dict[str, int] = {}
    number = 0
    for line, raw_line in enumerate(text.split("\n"), start=1):
        if not raw_line.strip():
            continue
        try:
            raw = orjson.loads(raw_line)
        except orjson.JSONDecodeError as error:
            raise DataError(f"{path}, line {line} is no JSON ({error}); one object a line is expected") from error
        if not isinstance(raw, dict):
            raise DataError(f"{path}, line {line} is no JSON object")
        id_ = raw.get("id", number)
        if isinstance(id_, bool) or not isinstance(id_, (str, int)):
            raise DataError(f"{path}, line {line}: the id is {id_!r}; a text or a whole number is expected")
        id_ = str(id_)
        if id_ in ids:
            raise DataError(f"{path}, line {line}: the id is {id_!r}, and so is that of line {ids[id_]}; ids must differ")
        ids[id_] = line
        with _placed(path, line):
            item = _item(raw, id_, prompt)
        number += 1
        yield item


def _item(raw: dict[str, Any], id_: str, prompt: Prompt) -> Item:
    group, delimiter = _text_or_none(raw, "group"), _text_or_none(raw, "delimiter")
    delimiter = " " if delimiter is None else delimiter
    context = raw.get("context", raw.get("query"))
    contexts = raw.get("contexts", raw.get("context_options"))
    if isinstance(context, str) and isinstance(raw.get("choices"), list):
        return choice_item(id_, prompt(context), _texts(raw["choices"], "choices"), _label(raw), group, delimiter=delimiter)
    if isinstance(contexts, list) and isinstance(raw.get("continuation"), str):
        shown = [prompt(one) for one in _texts(contexts, "contexts")]
        return schema_item(id_, shown, raw["continuation"], _label(raw), group, delimiter=delimiter)
    if isinstance(context, str) and isinstance(raw.get("continuation"), str):
        return closing_item(id_, prompt(context), raw["continuation"], group, delimiter=delimiter)
    if isinstance(raw.get("text"), str):
        return text_item(id_, raw["text"], group or _text_or_none(raw, "language"))
    raise DataError(
        f"it has the fields {', '.join(sorted(raw))}; expected are context, choices and label, or contexts, continuation and "
        "label, or context and continuation, or text"
    )


def _text_or_none(raw: dict[str, Any], field: str) -> str | None:
    value = raw.get(field)
    if value is not None and not isinstance(value, str):
        raise DataError(f"its {field} is {value!r}; a text is expected")
    return value


def _texts(values: list[Any], field: str) -> list[str]:
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise DataError(f"number {number} of its {field} is {value!r}; a text is expected")
    return values


def _label(raw: dict[str, Any]) -> int:
    value = raw.get("label", raw.get("gold"))
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"the label is {value!r}; the number of the right choice, from 0, is expected")
    return value


def _hellaswag(path: Path, prompt: Prompt) -> Iterator[Item]:
    for number, (line, asked) in enumerate(read_hellaswag(path)):
        with _placed(path, line):
            item = choice_item(str(number), prompt(asked.question), asked.choices, asked.label)
        yield item


def _csv(path: Path, prompt: Prompt) -> Iterator[Item]:
    for number, (line, asked) in enumerate(read_csv_questions(path)):
        with _placed(path, line):
            item = choice_item(str(number), prompt(asked.question), asked.choices, asked.label)
        yield item
