"""One training stage of a plan as text for the terminal: its step, its memory, and which micro-batches fit."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.core.units import format_bytes, format_count, format_duration
from pellucid.plan.draw import bar, draw_curve
from pellucid.plan.notes import spaced

__all__ = ["format_seconds", "headed", "plain_table", "render_stage", "unbroken"]

_KINDS = ("weights", "gradients", "moments", "activations", "loss", "heap", "checkpoint", "overhead")
_MODES = (("none", "kept"), ("selective", "some"), ("block", "block"))


def plain_table(*columns: str) -> Table:
    """Return a plain table whose first column is text and whose others are figures."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=True)
    return table


def headed(title: str, *content: RenderableType, below: str = "") -> Group:
    """Return content under a bold heading that may be wider than it, with a line of small print below."""
    foot = [Text(below, style="dim")] if below else []
    return Group(Text(f"\n{title}", style="bold"), *content, *foot)


def unbroken(text: str) -> str:
    """Keep the groups of a number on one line."""
    return re.sub(r"(?<=\d) (?=\d{3})", "\u00a0", text)


def render_stage(stage: Mapping[str, Any], plan: Mapping[str, Any], rates: Sequence[float] | None) -> list[RenderableType]:
    """Return the stage's parts in the order of reading; `rates` are its learning rates, evenly spaced over its steps."""
    parts: list[RenderableType] = [_step(stage), _parts(stage), _memory(stage, plan)]
    if len(stage["micro_batches"]) > 1:
        parts.append(_micro_batches(stage))
    if rates:
        lines = draw_curve(rates)
        parts.append(Text.assemble((f"\nlearning rate of {stage['name']}, 0 to {max(rates):.3g}\n", "bold"), "\n".join(lines)))
    return parts


def _step(stage: Mapping[str, Any]) -> Text:
    per_token, step = stage["flops_per_token"], stage["step"]
    seconds = {case: format_seconds(value) for case, value in step["s"].items()}
    mfu, full = step["mfu"]["likely"], step["mfu_with_attention"]["likely"]
    lines = (
        f"{_length(stage)}\n"
        f"a step   {seconds['likely']}, between {seconds['low']} and {seconds['high']}: "
        f"{format_count(stage['tokens_per_s'])} tokens/s\n"
        f"a device {_flops(step['flops_per_device_s']['likely'])}FLOP/s, {mfu:.1%} of its peak by need, {full:.1%} with attention\n"
        f"a token  {_flops(per_token['matmul'])}FLOP by need, {_flops(per_token['with_attention'])}FLOP with attention, "
        f"{_flops(per_token['six_n'])}FLOP by 6N"
    )
    return Text.assemble((f"\nstage {stage['name']}\n", "bold"), unbroken(lines))


def _length(stage: Mapping[str, Any]) -> str:
    """Return tokens and steps in the words that what they rest on allows."""
    tokens, steps, batch = (spaced(stage[key]) for key in ("tokens", "steps", "batch_tokens"))
    return {
        "one_step": f"so many steps of {batch} tokens as its examples will make",
        "at_most": f"at most {tokens} tokens in {steps} steps of {batch}",
        "about": f"about {tokens} tokens in {steps} steps or more of {batch}",
    }.get(stage["length_basis"], f"{tokens} tokens in {steps} steps of {batch}")


def _flops(number: float) -> str:
    """Return a count with the prefix of its unit: 9 842 000 000 → '9.84 G'."""
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= scale:
            return f"{number / scale:.3g} {prefix}"
    return f"{number:.3g} "


def format_seconds(seconds: float) -> str:
    """Return seconds in three digits, or what `format_duration` makes of a minute or more."""
    return f"{seconds:.3g} s" if seconds < 60 else format_duration(seconds)


def _parts(stage: Mapping[str, Any]) -> Group:
    step = stage["step"]
    total = step["s"]["likely"]
    table = plain_table("", "seconds", "share")
    table.add_column("")
    for name in ("compute", "memory", "communication"):
        seconds = step["parts_s"][name]
        if seconds or name != "communication":
            table.add_row(name, f"{seconds:.3g}", f"{seconds / total:.0%}", bar(seconds / total))
    hidden = step["parts_s"]["communication_hidden"]
    if hidden:
        table.add_row("hidden behind it", f"{hidden:.3g}", "", Text("communication while computing", style="dim"))
    return headed(f"where the step's time goes: bound by {step['bound']}", table)


def _memory(stage: Mapping[str, Any], plan: Mapping[str, Any]) -> Group:
    row, fit = stage["memory"][stage["shard"]], stage["fit"]
    many = plan["device"]["count"] > 1
    verdict = "fits" if fit["needs_bytes"] <= fit["usable_bytes"] else "does not fit"
    title = f"memory of each device: {format_bytes(fit['needs_bytes'])} of {format_bytes(fit['usable_bytes'])}, {verdict}"
    table = plain_table(f"sharding {stage['shard']}" if many else "", "bytes", "share")
    table.add_column("")
    for kind in _KINDS:
        if row[kind]:
            table.add_row(kind, format_bytes(row[kind]), f"{row[kind] / row['total']:.0%}", bar(row[kind] / row["total"]))
    if row["reused"]:
        table.add_row("not at once", f"-{format_bytes(row['reused'])}", "", Text("gradients come as activations go", style="dim"))
    below = [f"training refuses this: {fit['refused']}"] if fit["refused"] else []
    below += [f"what {'would do' if fit['refused'] else 'makes it fit'}: {fit['fix']}"] if fit["fix"] else []
    return headed(title, table, below="\n".join(below))


def _micro_batches(stage: Mapping[str, Any]) -> Group:
    """Return totals by micro-batch, sharding and checkpointing; what does not fit is in brackets."""
    shardings = list(stage["micro_batches"][0]["total"])
    unit, name = _unit(stage["micro_batches"])
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("micro_seqs", justify="right", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    for shard in shardings:
        for _, word in _MODES:
            table.add_column(f"{shard}\n{word}" if len(shardings) > 1 else word, justify="right", no_wrap=True)
    for row in stage["micro_batches"]:
        own = row["micro_seqs"] == stage["micro_seqs"]
        cells = [_total(row["total"][shard][mode] / unit, row["fits"][shard][mode]) for shard in shardings for mode, _ in _MODES]
        mark = f"→ {row['micro_seqs']}" if own else str(row["micro_seqs"])
        table.add_row(mark, str(row["accumulation_steps"]), *cells, style="bold" if own else "")
    title = f"{name} by micro-batch and activation checkpointing"
    return headed(title, table, below="in brackets: does not fit; steps: micro-batches of an optimizer step")


def _unit(rows: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    largest = max(size for by_mode in rows[-1]["total"].values() for size in by_mode.values())
    return (2**30, "GiB") if largest >= 2**31 else (2**20, "MiB")


def _total(size: float, fits: bool) -> Text:
    text = f"{size:.1f}" if size < 99.95 else f"{size:.0f}"
    return Text(f"{text} ", style="green") if fits else Text(f"({text})", style="dim red")
