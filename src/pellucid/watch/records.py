"""Lines of `metrics.jsonl` as records and as columns. A line that is none of ours is counted, and is no reason to stop looking."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

__all__ = ["PHASES", "Parsed", "Record", "columns_of", "flat_values", "number", "parse_lines", "parse_objects"]

PHASES = ("data", "forward_backward", "optimizer", "other")
"""Where the time of a step goes, as training books it."""

_PLAIN = ("loss", "grad_norm", "lr", "tokens_per_s", "mfu", "mfu_6n", "memory_bytes")
_GROUPS = (("source", "loss_by_source"), ("figure", "figures"))

Record = dict[str, Any]


@dataclass
class Parsed:
    """What some lines hold: steps and events in their order, and how many lines are damaged."""

    steps: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    damaged: int = 0


def parse_lines(lines: Iterable[bytes]) -> Parsed:
    """Tell steps from events. A step has a `loss` (null where it was not finite), an event `event`."""
    records, damaged = parse_objects(lines)
    parsed = Parsed(damaged=damaged)
    for record in records:
        if isinstance(record.get("event"), str):
            parsed.events.append(record)
        elif "loss" in record:
            parsed.steps.append(record)
        else:
            parsed.damaged += 1
    return parsed


def parse_objects(lines: Iterable[bytes]) -> tuple[list[Record], int]:
    """Return the JSON objects with a whole number `step`, and how many lines are something else."""
    records, damaged = [], 0
    for line in lines:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            damaged += 1
            continue
        if isinstance(record, dict) and type(record.get("step")) is int:
            records.append(record)
        else:
            damaged += 1
    return records, damaged


def number(value: Any) -> float:
    """Return a finite number as it is, NaN for everything else."""
    if type(value) not in (int, float):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def flat_values(record: Record) -> dict[str, float]:
    """Return every number of a step by channel: `loss`, `seconds/data`, `source/NAME`, `figure/NAME`.

    What is null is left out.
    """
    found = {name: number(record.get(name)) for name in _PLAIN}
    found |= {f"seconds/{phase}": number(value) for phase, value in _mapping(record, "seconds")}
    for prefix, key in _GROUPS:
        found |= {f"{prefix}/{name}": number(value) for name, value in _mapping(record, key)}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def columns_of(records: Sequence[Record]) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return steps, tokens so far, and the channels of N steps as columns, (N,) each, NaN where a step has no value."""
    count = len(records)
    steps_N = np.array([record["step"] for record in records], dtype=np.float64)
    columns = {name: _column([record.get(name) for record in records]) for name in ("tokens", *_PLAIN)}
    scattered: dict[str, NDArray[np.float64]] = {}
    for prefix, key in (("seconds", "seconds"), *_GROUPS):
        by_name: dict[str, tuple[list[int], list[Any]]] = {}
        for index, record in enumerate(records):
            for name, value in _mapping(record, key):
                if name not in by_name:
                    by_name[name] = ([], [])
                rows, values = by_name[name]
                rows.append(index)
                values.append(value)
        for name, (rows, values) in by_name.items():
            column_N = scattered[f"{prefix}/{name}"] = np.full(count, np.nan)
            column_N[rows] = _column(values)
    # A record without tokens stands where the one before it stood.
    tokens_N = np.fmax.accumulate(columns.pop("tokens")) if count else np.empty(0)
    return steps_N, np.nan_to_num(tokens_N), columns | scattered


def _column(values: list[Any]) -> NDArray[np.float64]:
    plain = set(map(type, values)) <= {float, int, type(None)}
    found = np.array(values if plain else [number(value) for value in values], dtype=np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _mapping(record: Record, key: str) -> Iterable[tuple[str, Any]]:
    found = record.get(key)
    return found.items() if isinstance(found, dict) else ()
