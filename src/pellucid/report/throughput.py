"""The section of the page about speed: a model in the programs that run it, side by side (Stable LM 2's report, Table 8)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.core.units import format_bytes, format_rate
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Section
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import paragraph, section, table

__all__ = ["THROUGHPUT", "remarks", "throughput"]

THROUGHPUT = "throughput/throughput.json"
_SCHEMA = 1
_NOT_MEASURED, _NOT_RECORDED = "not measured", "not recorded"
_RATES = (
    "Program", "Weights", "Device", "Batch", "Prompt, tok/s", "Decode, tok/s", "least", "most", "First token, ms", "Watts",
    "Joules/token",
)  # fmt: skip
_SIZES = ("Program", "Weights", "Version", "Files", "Loaded in, s", "Peak memory", "before the model")


def throughput(facts: Facts, recipe: Recipe) -> Section | None:
    """Tokens a second, first token, memory and watts of each program and batch; empty where `pellucid throughput` was not run.

    Files from before devices and the reasons for missing watts were recorded are shown without them. Raises `ArtifactError` for a
    file of another version.
    """
    if not facts.has(THROUGHPUT):
        return None
    found = facts.document(THROUGHPUT)
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA:
        raise ArtifactError(f"{facts.run / THROUGHPUT} is not of schema {_SCHEMA}; run `pellucid throughput` again")
    measured = [(number, one) for number, one in enumerate(found["contestants"]) if one["batches"]]
    parts: list[Block] = []
    if measured:
        counted = bool(found["energy"]["counters"])
        rates = [_rates(facts, (number, one), batch, counted) for number, one in measured for batch in one["batches"]]
        sizes = [_sizes(facts, number, one) for number, one in measured]
        parts = [
            table(_RATES, rates, caption=_caption(found), numbers_from=3),
            table(_SIZES, sizes, caption="Each program in a process of its own, with its packages.", numbers_from=3),
        ]
    ways = dict.fromkeys((one["program"], one["how"]) for _, one in measured)
    parts += [paragraph(f"{program}: {how}.") for program, how in ways]
    parts += [paragraph(f"{text[0].upper()}{text[1:]}.") for text in remarks(found)]
    return section("throughput", "Throughput", *parts)


def remarks(found: Mapping[str, Any]) -> list[str]:
    """Return what belongs below the table: who was not measured, which watts were not, why, and devices that do not compare."""
    told = [f"not measured: {one['name']}: {one['missing']}" for one in found["contestants"] if one["missing"] is not None]
    told += [f"not measured: watts by {kind}: {reason}" for kind, reason in found["energy"]["missing"].items()]
    if found["energy"]["counters"]:
        rows: dict[tuple[str, str], list[str]] = {}
        for one in found["contestants"]:
            for batch, figures in one["batches"].items():
                if (reason := figures.get("energy_missing")) is not None:
                    how = "not measured" if figures["watts"] is None else "measured in part"
                    rows.setdefault((how, reason), []).append(f"{one['name']} (batch {batch})")
        told += [f"{how}: watts of {', '.join(names)}: {reason}" for (how, reason), names in rows.items()]
    return told + _devices(found["contestants"])


def _devices(contestants: Sequence[Mapping[str, Any]]) -> list[str]:
    programs: dict[str, dict[str, None]] = {}
    for one in contestants:
        if one["batches"] and (device := _device(one)[1]) is not None:
            programs.setdefault(device, {})[one["program"]] = None
    if len(programs) < 2:
        return []
    told = "; ".join(f"{device}: {', '.join(names)}" for device, names in programs.items())
    torch_on_gpu = any(name.startswith("cuda:") for name in programs)
    fix = " (--device cpu keeps Pellucid and transformers off the GPU)" if torch_on_gpu else ""
    return [f"programs ran on different devices, and such rows do not compare{fix}: {told}"]


def _device(one: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """Return where an entry says what it ran on, and what; files from before every program said it hold it among the settings."""
    if one.get("device") is not None:
        return ("device",), one["device"]
    return ("settings", "device"), one.get("settings", {}).get("device")


def _caption(found: Mapping[str, Any]) -> str:
    settings, processor = found["settings"], found["environment"]["processor"]
    return (
        f"Medians of {settings['rounds']} rounds in which all took turns, with the least and the most: "
        f"{settings['prompt_tokens']} tokens of prompt, {settings['new_tokens']} new ones, threads: {settings['threads']}, on "
        f"{processor}. Watts are of all that the counters count; joules are of the whole turn, prompts included, by new tokens."
    )


def _rates(facts: Facts, numbered: tuple[int, Mapping[str, Any]], batch: str, counted: bool) -> list[Fact | str | None]:
    number, one = numbered
    at, figures = ("contestants", number), one["batches"][batch]
    where, device = _device(one)
    # Where the machine has no counter, the reason is the same for all, and stands below.
    reason = figures.get("energy_missing") if counted else None

    def figure(name: str, key: str = "median", scale: float = 1.0) -> Fact | str:
        if figures[name] is None:
            return f"{_NOT_MEASURED}: {reason}" if name == "watts" and reason is not None else _NOT_MEASURED
        return facts.get(THROUGHPUT, *at, "batches", batch, name, key, show=lambda value: format_rate(scale * value))

    return [
        facts.get(THROUGHPUT, *at, "program"),
        facts.get(THROUGHPUT, *at, "weights"),
        _NOT_RECORDED if device is None else facts.get(THROUGHPUT, *at, *where),
        batch,
        figure("prompt_tokens_per_s"),
        figure("decode_tokens_per_s"),
        figure("decode_tokens_per_s", "min"),
        figure("decode_tokens_per_s", "max"),
        figure("first_token_s", scale=1e3),
        figure("watts"),
        figure("joules_per_token"),
    ]


def _sizes(facts: Facts, number: int, one: Mapping[str, Any]) -> list[Fact | str | None]:
    at = ("contestants", number)
    return [
        *(facts.get(THROUGHPUT, *at, name) for name in ("program", "weights", "version")),
        None if one["bytes"] is None else facts.get(THROUGHPUT, *at, "bytes", show=format_bytes),
        facts.get(THROUGHPUT, *at, "load_s", show=format_rate),
        facts.get(THROUGHPUT, *at, "memory", "peak_bytes", show=format_bytes),
        facts.get(THROUGHPUT, *at, "memory", "before_bytes", show=format_bytes),
    ]
