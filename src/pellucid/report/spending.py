"""What the run cost, all attempts counted, and what its ledger says of them."""

from typing import Any

from pellucid.core.ledger import LEDGER
from pellucid.core.spending import ACCOUNT, how_known
from pellucid.core.units import format_carbon, format_duration, format_energy, format_few
from pellucid.recipe.recipe import Recipe
from pellucid.report.blocks import Block, Cell, Drawing, Section, Table
from pellucid.report.facts import Facts
from pellucid.report.figures import dots
from pellucid.report.markup import figure, paragraph, section, table

__all__ = ["NO_ACCOUNT", "ledger", "spending"]

NO_ACCOUNT = "This run has no account of its attempts yet; pellucid report RECIPE makes one from ledger.jsonl."
"""What is said where there is none."""

_ENERGY = {
    "kwh_measured": ("Energy measured", format_energy),
    "kwh_estimated": ("Energy estimated", format_energy),
    "kwh_with_pue": ("With PUE", format_energy),
    "kg_co2e": ("CO2e", format_carbon),
}
_ENDINGS = {"end": "finished", "stop": "stopped", "failure": "failed", "killed": "killed"}
Row = list[Cell]


def spending(facts: Facts, recipe: Recipe) -> Section | None:
    """Hours, device-hours, energy, carbon and money by stage and by how attempts ended; those that came to no end by themselves."""
    if not facts.has(ACCOUNT):
        return None
    account = facts.document(ACCOUNT)
    lost = [(number, one) for number, one in enumerate(account["attempts"]) if one["outcome"] != "end"]
    rows = [[_stage(name), *_amount(facts, "by_stage", name)] for name in _stages(account)]
    ends = [[_ENDINGS[name], *_amount(facts, "by_outcome", name)] for name in _ENDINGS if name in account["by_outcome"]]
    heads = ("Attempts", "Time", "Device-hours", *(_ENERGY[key][0] for key in _kinds(account)), "US$")
    parts: list[Block] = [
        paragraph(
            "Every attempt at every stage is counted, and so is work on the run outside of its stages, such as suites of "
            "benchmarks: what finished, and what was stopped, failed or was killed on the way. Not in it are what this account "
            "and this report themselves take, and what was still under way."
        ),
        table(("Stage", *heads), [*rows, ["all", *_amount(facts, "total")]], caption="Cost by stage.", total=True),
        figure(_by_stage(account), "Time by stage, by how the attempts ended.", ACCOUNT, "/attempts"),
        table(("Attempts that", *heads), ends, caption="Cost by how attempts ended."),
    ]
    if lost:
        told = [_lost(facts, number, one) for number, one in lost]
        columns = ("Attempt", "Began", "Ended", "Why", "Time", "Energy")
        parts.append(table(columns, told, caption="Attempts that came to no end; they are in the sums above.", numbers_from=4))
    parts += [_rates(facts, account), paragraph(_how(account, facts))]
    return section("cost", "What it cost", *parts)


def ledger(facts: Facts, recipe: Recipe) -> Section | None:
    """How often the run was stopped, killed and continued, and the digest that fixes the whole story."""
    if not facts.has(ACCOUNT):
        return None
    lines = facts.document(ACCOUNT)["ledger"]["lines"]
    shown = {
        "attempts": "attempts",
        "ends": "finished",
        "stops": "stopped by a signal or Ctrl-C",
        "failures": "failed",
        "kills": "killed",
        "resumes": "went on from what an earlier attempt had left",
        "evaluations": "evaluations",
        "skipped_steps": "training steps that were not applied",
    }
    rows: list[Row] = [[text, facts.get(ACCOUNT, "counts", name)] for name, text in shown.items()]
    rows.append(["lines of the ledger", facts.get(ACCOUNT, "ledger", "lines")])
    if lines and "sha256" in facts.document(LEDGER)[lines - 1]:
        rows.append(["digest of the last of them", facts.get(LEDGER, lines - 1, "sha256", show=lambda digest: f"{digest[:16]}…")])
    return section(
        "ledger",
        "Ledger",
        paragraph(
            "Each line of ledger.jsonl holds the digest of the line before and its own, so this digest fixes all of it. Lines "
            "that came later tell of this report, of stages that had not changed, and of work after it."
        ),
        table(
            ("Ledger", "Value"),
            rows,
            caption="What happened. pellucid show RUN lists every attempt, pellucid verify RUN checks the lines.",
        ),
    )


def _stages(account: dict[str, Any]) -> list[str]:
    """Return the stages in the order in which they were first begun: the file has its names in alphabetical order."""
    return list(dict.fromkeys(one["stage"] for one in account["attempts"]))


def _stage(name: str) -> str:
    return name.replace("_", " ")


def _kinds(account: dict[str, Any]) -> list[str]:
    """Return which columns of energy the tables have: none for a kind that no attempt has."""
    return [key for key in _ENERGY if account["total"][key]]


def _amount(facts: Facts, *at: str) -> Row:
    amount = facts.document(ACCOUNT)
    for key in at:
        amount = amount[key]
    row: Row = [facts.get(ACCOUNT, *at, "attempts"), facts.get(ACCOUNT, *at, "hours", show=_hours)]
    row.append(facts.get(ACCOUNT, *at, "device_hours", show=format_few))
    unknown = how_known(amount) is None
    for key in _kinds(facts.document(ACCOUNT)):
        row.append(None if unknown or not amount[key] else facts.get(ACCOUNT, *at, key, show=_ENERGY[key][1]))
    row.append(facts.get(ACCOUNT, *at, "usd", show=format_few))
    return row


def _lost(facts: Facts, number: int, one: dict[str, Any]) -> Row:
    """A row of an attempt without an end; its numbers are those of its last line in the ledger, where that has them."""
    line = facts.document(LEDGER)[one["last_line"] - 1]
    has_time = isinstance(line.get("seconds"), int | float)
    has_energy = (line.get("energy") or {}).get("joules") is not None
    return [
        f"{_stage(one['stage'])}, {one['number']}",
        facts.get(LEDGER, one["line"] - 1, "at"),
        _ENDINGS[one["outcome"]],
        one["message"],
        facts.get(LEDGER, one["last_line"] - 1, "seconds", show=format_duration) if has_time else None,
        facts.get(ACCOUNT, "attempts", number, "kwh", show=format_energy) if has_energy else None,
    ]


def _rates(facts: Facts, account: dict[str, Any]) -> Table:
    shown = {
        "usd_per_device_hour": "US$ for an hour of a device",
        "pue": "PUE of the data centre",
        "grid_kg_co2e_per_kwh": "kg CO2e for a kWh of the grid",
    }
    rows: list[Row] = [[text, facts.get(ACCOUNT, "rates", name, show=format_few)] for name, text in shown.items()]
    if account["total"]["unknown_hours"]:
        rows.append(["time whose energy was not written down", facts.get(ACCOUNT, "total", "unknown_hours", show=_hours)])
    return table(("Counted with", "Value"), rows, caption="The recipe's figures, else the device table's.")


def _how(account: dict[str, Any], facts: Facts) -> str:
    """Say by which counters energy was measured, and why not where it was not."""
    told = "kg CO2e = kWh · PUE · kg CO2e for a kWh. Money is device-hours · price, energy not counted beside it. "
    counters: set[str] = set()
    missing: dict[str, str] = {}
    for one in account["attempts"]:
        energy = facts.document(LEDGER)[one["last_line"] - 1].get("energy") or {}
        counters |= set(energy.get("counters", ()))
        missing |= energy.get("missing", {})
    if counters:
        told += f"Measured by {', '.join(sorted(counters))}. "
    if account["total"]["kwh_estimated"]:
        told += (
            "Estimated: watts of the recipe's device while it trains · time · use. The use of a processor is CPU seconds / "
            "(time · cores); that of a GPU is taken to be 1, also in stages that do not train. "
        )
    if missing and account["total"]["kwh_estimated"]:
        told += "Why it was not measured: " + "; ".join(f"{kind}: {reason}" for kind, reason in sorted(missing.items())) + "."
    return told.strip()


def _by_stage(account: dict[str, Any]) -> Drawing:
    names = _stages(account)
    kinds = {"finished": ("end",), "stopped, failed or killed": ("stop", "failure", "killed")}
    scale, unit = _unit(max((one["seconds"] for one in account["attempts"]), default=0.0))
    series = {}
    for title, outcomes in kinds.items():
        found: dict[str, float] = {}
        for one in account["attempts"]:
            if one["outcome"] in outcomes:
                found[one["stage"]] = found.get(one["stage"], 0.0) + one["seconds"] / scale
        if found:
            series[title] = [(found[name], 0.0, found[name]) if name in found else None for name in names]
    return dots([_stage(name) for name in names], series, unit)


def _unit(longest_s: float) -> tuple[float, str]:
    return (1.0, "seconds") if longest_s < 120 else (60.0, "minutes") if longest_s < 7200 else (3600.0, "hours")


def _hours(hours: float) -> str:
    return format_duration(hours * 3600)
