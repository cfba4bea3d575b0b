"""Plan against what happened: what was forecast before anything was spent, between which bounds, and what was measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pellucid.core.attempts import attempts_of, made_before
from pellucid.core.excerpt import in_words
from pellucid.core.ledger import LEDGER
from pellucid.core.spending import ACCOUNT, how_known
from pellucid.core.units import format_bytes, format_duration, format_energy, format_rate
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.report.blocks import Block, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import Cell, paragraph, section, table
from pellucid.report.sections import PLAN, whole

__all__ = ["forecast"]

_COLUMNS = ("", "Low", "Likely", "High", "Measured", "Measured / likely")

_LENGTHS = {"one_step": "length not known beforehand", "at_most": "planned as the most"}
"""What stands in place of a ratio where the recipe did not tell how many examples there are."""

_FULL = "planned as full"
"""What is said of a stage of examples that took less than planned: its steps are taken to be full sequences, all learnt from."""

_CLOSE = 0.1
"""How near a forecast of memory, which has no bounds, is meant to be."""

Show = Callable[[float], str]


def forecast(facts: Facts, recipe: Recipe) -> Section | None:
    """Return tokens, steps, seconds, memory, hours, energy and money of each training stage: forecast, measured, and their ratio.

    None for a run whose plan has no bounds, as those of earlier versions.
    """
    planned = facts.document(PLAN)["stages"] if facts.has(PLAN) else []
    if not planned or "kwh" not in planned[0]:
        return None
    parts: list[Block] = [
        paragraph(
            f"{_when(facts, recipe)} Its bounds are those of the table of devices: the shares of peak and bandwidth that training "
            "reaches, power, price. Measured time, energy and money are those of the account: of all attempts that a stage's "
            "weights took, those that were stopped or killed and gone on from among them, a killed one up to its last sign of "
            "life. Memory is what a stage came to hold beyond what was held before; of a CPU's process without pages of files, as "
            "those of libraries and shards, which the system takes back where it needs room."
        )
    ]
    for number, stage in enumerate(recipe.train):
        file = f"{stage.name}/metrics.jsonl"
        if facts.has(file):
            rows = [*_counts(facts, number, stage), *_speed(facts, number, stage), _memory(facts, number, stage)]
            rows += _spent(facts, number, stage)
            parts.append(table(_COLUMNS, rows, caption=f"The stage {stage.name}, on {_device(facts)}."))
    if any(not stage.learns_from_text for stage in recipe.train):
        parts.append(
            paragraph(
                "Steps of conversations and pairs are planned as full sequences that are learnt from in every position. Real ones "
                "are padded, and learnt from in their answers alone: where it says planned as full, they took less than that."
            )
        )
    if facts.document(PLAN)["device"]["name"] != "here":
        parts.append(
            paragraph(
                f"The plan is for {_device(facts)}, a row of the table of devices. Where the run was on another machine, its "
                "speed, energy and money say little about the forecast."
            )
        )
    return section("forecast", "Plan against what happened", *parts)


def _when(facts: Facts, recipe: Recipe) -> str:
    """Say whether the forecast was there before training, by the order of the ledger's lines."""
    attempts = attempts_of(facts.document(LEDGER), checked=False) if facts.has(LEDGER) else []
    names = [stage.name for stage in recipe.train if facts.has(f"{stage.name}/metrics.jsonl")]
    known = {name: made_before(attempts, "plan", name) for name in names}
    after, untold = ([name for name in names if known[name] is value] for value in (False, None))
    anew = [name for name in names if known[name] and not made_before(attempts, "plan", name, ever=True)]
    if not after and not untold:
        told = "The forecast was made from the recipe before this training began, as the order of the ledger's lines tells."
    else:
        told = "The forecast was made from the recipe."
    if after:
        told += f" By the ledger's lines it was made after the training of {in_words(after)} had begun: it is no forecast of that."
    if untold:
        told += f" The ledger does not tell whether it was made before the training of {in_words(untold)}."
    if anew:
        told += f" An earlier build of {in_words(anew)} had been begun in this run before the forecast."
    return told


def _device(facts: Facts) -> str:
    device = facts.document(PLAN)["device"]
    return f"{device['count']} × {device['title']}"


def _steps(facts: Facts, stage: TrainStageConfig) -> list[tuple[int, dict[str, Any]]]:
    """Return the records of a stage's steps with their places in the file."""
    records = facts.document(f"{stage.name}/metrics.jsonl")
    return [(place, record) for place, record in enumerate(records) if "loss" in record]


def _row(
    name: str,
    bounds: Sequence[Fact | None],
    measured: Fact | None,
    ratio: float | None,
    untold: str = "not measured",
    below: str = "outside",
) -> list[Cell]:
    """Return a row; the ratio says whether it lies between the bounds. `untold` is what stands where there is none.

    `below` is what is said of what lies below the bounds.
    """
    low, likely, high = bounds
    text = untold if ratio is None else f"{ratio:.2f}"
    if ratio is not None and low is not None and likely is not None and high is not None and likely.value:
        first, last = sorted((low.value, high.value))
        value = ratio * likely.value
        text += ", inside" if first <= value <= last else f", {below}" if value < first else ", outside"
    return [name, low, likely, high, measured, text]


def _length(facts: Facts, number: int) -> str | None:
    """Return what a stage's length was taken to be where the recipe did not tell it; None where it did."""
    return _LENGTHS.get(facts.document(PLAN)["stages"][number].get("length_basis", "given"))


def _below(stage: TrainStageConfig) -> str:
    return "outside" if stage.learns_from_text else _FULL


def _counts(facts: Facts, number: int, stage: TrainStageConfig) -> list[list[Cell]]:
    """Return tokens and steps. Text fills its steps; of examples padding is no token, so their own are what is compared."""
    file, (last, record) = f"{stage.name}/metrics.jsonl", _steps(facts, stage)[-1]
    tokens = "trained_tokens" if stage.learns_from_text else "tokens"
    rows, untold = [], _length(facts, number)
    for name, key, done in (("tokens", tokens, "tokens"), ("steps", "steps", "step")):
        planned = facts.get(PLAN, "stages", number, key, show=whole)
        ratio = record[done] / planned.value if planned.value and untold is None else None
        measured = facts.get(file, last, done, show=whole)
        rows.append(_row(name, (None, planned, None), measured, ratio, untold or "nothing was planned"))
    return rows


def _speed(facts: Facts, number: int, stage: TrainStageConfig) -> list[list[Cell]]:
    """Return seconds per step and tokens per second of the median step, the first tenth left out.

    Of examples only the seconds: a planned step is full of tokens, and theirs are padded less than that.
    """
    file, steps = f"{stage.name}/metrics.jsonl", _steps(facts, stage)
    tail = sorted(steps[len(steps) // 10 :], key=lambda item: _seconds(item[1]))
    place, record = tail[len(tail) // 2]

    def seconds(speed: float) -> str:
        return f"{format_rate(record['step_tokens'] / speed)} s"

    of_step = _range(facts, number, ("step", "s"), lambda value: f"{format_rate(value)} s")
    measured = facts.get(file, place, "tokens_per_s", show=seconds)
    rows = [_row("seconds per step", of_step, measured, _over(_seconds(record), of_step), below=_below(stage))]
    if stage.learns_from_text:
        # Cases are named by time: the shortest step is the highest speed.
        of_speed = _range(facts, number, ("step", "tokens_per_s"), whole)[::-1]
        measured = facts.get(file, place, "tokens_per_s", show=whole)
        rows.append(_row("tokens per second", of_speed, measured, _over(float(record["tokens_per_s"]), of_speed)))
    return rows


def _seconds(record: Mapping[str, Any]) -> float:
    """What a step took, by its record."""
    return float(record["step_tokens"]) / float(record["tokens_per_s"])


def _range(facts: Facts, number: int, keys: tuple[str, ...], show: Show) -> tuple[Fact, Fact, Fact]:
    low, likely, high = (facts.get(PLAN, "stages", number, *keys, case, show=show) for case in ("low", "likely", "high"))
    return low, likely, high


def _over(measured: float, bounds: Sequence[Fact]) -> float | None:
    return measured / bounds[1].value if bounds[1].value else None


def _memory(facts: Facts, number: int, stage: TrainStageConfig) -> list[Cell]:
    """Return the most memory: of a GPU what torch allocated, of a CPU what the process came to hold in this stage.

    Each process that worked on the stage says at its start or resume what it held already, and how much of that were pages of
    files; these are left out. Where the system could not tell the stage's share apart, all that the process has held.
    """
    file = f"{stage.name}/metrics.jsonl"
    began: dict[str, Any] = {}
    held: list[tuple[int, int, dict[str, Any]]] = []
    for place, record in enumerate(facts.document(file)):
        if record.get("event") in {"start", "resume"}:
            began = record
        elif "loss" in record:
            held.append((_own_bytes(record, began), place, began))
    most, place, began = max(held, key=lambda item: item[0])
    iswhole = began.get("memory_before_bytes") is None and str(began.get("device", "cpu")).startswith("cpu")
    planned = facts.get(PLAN, "stages", number, "fit", "with_runtime_bytes" if iswhole else "needs_bytes", show=format_bytes)
    measured = facts.get(file, place, "memory_bytes", show=lambda _: format_bytes(most))
    name = "memory, the whole process with the stages before" if iswhole else "memory"
    ratio = most / planned.value
    row = _row(name, (None, planned, None), measured, ratio)
    if ratio < 1 - _CLOSE and not stage.learns_from_text:
        return [*row[:-1], f"{row[-1]}, {_FULL}"]
    return [*row[:-1], f"{row[-1]}, {'within' if abs(ratio - 1) <= _CLOSE else 'not within'} {100 * _CLOSE:.0f} %"]


def _own_bytes(record: Mapping[str, Any], began: Mapping[str, Any]) -> int:
    """Return the most that was held until a step, without what was held before the stage and pages of files that came since."""
    before = began.get("memory_before_bytes")
    if before is None:
        return int(record["memory_bytes"])
    return int(record["memory_bytes"] - before - record.get("mapped_bytes", 0) + began.get("mapped_before_bytes", 0))


def _spent(facts: Facts, number: int, stage: TrainStageConfig) -> list[list[Cell]]:
    """Return wall time, energy and money of all attempts of the stage's build, and how energy is known."""
    wall = _range(facts, number, ("wall_s",), format_duration)
    kwh = _range(facts, number, ("kwh",), format_energy)
    usd = _range(facts, number, ("usd",), lambda value: f"${format_rate(value)}")
    time = "wall time, checkpoints and samples included"
    at = ("builds", stage.name)
    amount = facts.document(ACCOUNT).get("builds", {}).get(stage.name) if facts.has(ACCOUNT) else None
    if amount is None:
        return [_row(time, wall, None, None), _row("energy", kwh, None, None), _row("money", usd, None, None)]
    untold = _length(facts, number)
    told = untold or "not measured"
    took = facts.get(ACCOUNT, *at, "hours", show=lambda hours: format_duration(hours * 3600))
    cost = facts.get(ACCOUNT, *at, "usd", show=lambda value: f"${format_rate(value)}")
    known = how_known(amount)
    how = {"measured": "", "measured in part": ", measured in part"}.get(known or "", ", estimated")
    spent = facts.get(ACCOUNT, *at, "kwh_with_pue", show=lambda value: format_energy(value) + how) if known else None
    below = _below(stage)
    return [
        _row(time, wall, took, _over(amount["hours"] * 3600, wall) if untold is None else None, told, below),
        _row("energy", kwh, spent, _over(amount["kwh_with_pue"], kwh) if known and untold is None else None, told, below),
        _row("money", usd, cost, _over(amount["usd"], usd) if untold is None else None, told, below),
    ]
