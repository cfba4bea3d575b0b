"""The section of the page about speed: a model in the programs that run it, side by side (Stable LM 2's report, Table 8)."""

from collections.abc import Mapping
from typing import Any

from pellucid.core.errors import ArtifactError
from pellucid.core.units import format_bytes, format_rate
from pellucid.recipe.recipe import Recipe
from pellucid.report.facts import Fact, Facts
from pellucid.report.markup import paragraph, section, table

__all__ = ["THROUGHPUT", "throughput"]

THROUGHPUT = "throughput/throughput.json"
_SCHEMA = 1
_NOT_MEASURED = "not measured"
_RATES = (
    "Program", "Weights", "Batch", "Prompt, tok/s", "Decode, tok/s", "least", "most", "First token, ms", "Watts", "Joules/token",
)  # fmt: skip
_SIZES = ("Program", "Weights", "Version", "Files", "Loaded in, s", "Peak memory", "before the model")


def throughput(facts: Facts, recipe: Recipe) -> str:
    """Tokens a second, first token, memory and watts of each program and batch; empty where `pellucid throughput` was not run.

    Raises `ArtifactError` for a file of another version.
    """
    if not facts.has(THROUGHPUT):
        return ""
    found = facts.document(THROUGHPUT)
    if not isinstance(found, dict) or found.get("schema") != _SCHEMA:
        raise ArtifactError(f"{facts.run / THROUGHPUT} is not of schema {_SCHEMA}; run `pellucid throughput` again")
    measured = [(number, one) for number, one in enumerate(found["contestants"]) if one["batches"]]
    parts = []
    if measured:
        rates = [_rates(facts, number, batch, figures) for number, one in measured for batch, figures in one["batches"].items()]
        sizes = [_sizes(facts, number, one) for number, one in measured]
        parts = [
            table(_RATES, rates, caption=_caption(found), numbers_from=2),
            table(_SIZES, sizes, caption="Each program in a process of its own, with its packages.", numbers_from=3),
        ]
    ways = dict.fromkeys((one["program"], one["how"]) for _, one in measured)
    parts += [paragraph(f"{program}: {how}.") for program, how in ways]
    reasons = [f"{one['name']}: {one['missing']}" for one in found["contestants"] if one["missing"] is not None]
    reasons += [f"watts by {kind}: {reason}" for kind, reason in found["energy"]["missing"].items()]
    parts += [paragraph(f"Not measured: {'; '.join(reasons)}.")] if reasons else []
    return section("throughput", "Throughput", *parts)


def _caption(found: Mapping[str, Any]) -> str:
    settings, processor = found["settings"], found["environment"]["processor"]
    return (
        f"Medians of {settings['rounds']} rounds in which all took turns, with the least and the most: "
        f"{settings['prompt_tokens']} tokens of prompt, {settings['new_tokens']} new ones, threads: {settings['threads']}, on "
        f"{processor}. Watts are of all that the counters count; joules are of the whole turn, prompts included, by new tokens."
    )


def _rates(facts: Facts, number: int, batch: str, figures: Mapping[str, Any]) -> list[Fact | str | None]:
    at = ("contestants", number)

    def figure(name: str, key: str = "median", scale: float = 1.0) -> Fact | str:
        if figures[name] is None:
            return _NOT_MEASURED
        return facts.get(THROUGHPUT, *at, "batches", batch, name, key, show=lambda value: format_rate(scale * value))

    return [
        facts.get(THROUGHPUT, *at, "program"),
        facts.get(THROUGHPUT, *at, "weights"),
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
