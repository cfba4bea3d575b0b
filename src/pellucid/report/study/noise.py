"""What a study says of the gradient noise scale: over training, and beside the critical batch size that its runs show."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.units import format_count
from pellucid.report.blocks import Block, Drawing
from pellucid.report.figures import curves
from pellucid.report.markup import Cell, figure, heading, paragraph, table
from pellucid.report.study.numbers import ends, interval

__all__ = ["noise_blocks"]


def noise_blocks(noise: Mapping[str, Any] | None) -> list[Block]:
    """Return what the analysis' `noise` says: the noise scale over training, beside the critical batch; nothing for None."""
    if noise is None:
        return []
    rows, beside = noise["rows"], noise["baseline"]
    parts: list[Block] = [heading("Gradient noise scale")]
    if beside is not None:
        parts.append(paragraph(_beside(beside)))
    drawn = _noise_figure(rows, beside)
    if drawn is not None:
        caption = "Gradient noise scale over training by batch size, with 95 % bands where both ends are known"
        known = beside is not None and beside["b_crit_tokens"] is not None and beside["b_crit_tokens"]["value"] is not None
        caption += ", and the critical batch of the runs" if known else ""
        single = [len(of) for of in _measured(rows).values() if len(of) == 1]
        caption += "; a dot, with its interval as a bar, is a batch size with one checkpoint" if single else ""
        parts.append(figure(drawn, f"{caption}.", ""))
    lines: list[list[Cell]] = [
        [row["level"], str(row["step"]), format_count(row["tokens"]), str(row["runs"]), _scale(row),
         f"{row['gradient_norm_squared']:.3g}", f"{row['trace']:.3g}"]
        for row in rows
    ]  # fmt: skip
    columns = ("Tokens a step", "Step", "Tokens", "Runs", "Noise scale, tokens [95 %]", "|G|²", "tr(Σ)")
    caption = "Measured on text behind each run's last step. The noise scale is tr(Σ)/|G|², of the means over seeds."
    return [*parts, table(columns, lines, caption=caption)]


def _beside(beside: Mapping[str, Any]) -> str:
    first, last = beside["first"], beside["last"]
    text = f"The baseline's gradient noise scale was {_scale(first)} tokens after {first['step']} steps"
    text += f" and {_scale(last)} after {last['step']}." if last["step"] != first["step"] else "."
    if beside["ratio"] is None:
        return f"{text} There is no critical batch to compare it with."
    order = "of the same order of magnitude" if beside["same_order"] else "not of the same order of magnitude"
    return (
        f"{text} The critical batch by training loss is {interval(ends(beside['b_crit_tokens']), format_count)} tokens: the last "
        f"noise scale is {beside['ratio']:.2f} times as large, the mean over training {beside['mean_ratio']:.2f} times. They are "
        f"{order} (a factor of ten either way)."
    )


def _measured(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return by level the rows with a noise scale; levels without any are left out."""
    known: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["noise_scale_tokens"] is not None:
            known.setdefault(row["level"], []).append(row)
    return known


def _noise_figure(rows: Sequence[Mapping[str, Any]], beside: Mapping[str, Any] | None) -> Drawing | None:
    lines: dict[str, tuple[list[float], list[float]]] = {}
    bands: dict[str, list[tuple[float, float]]] = {}
    for level, own in _measured(rows).items():
        name = f"{level} tokens"
        lines[name] = [row["tokens"] / 1e6 for row in own], [row["noise_scale_tokens"] / 1e3 for row in own]
        if all(row["low"] is not None and row["high"] is not None for row in own):
            bands[name] = [(row["low"] / 1e3, row["high"] / 1e3) for row in own]
    if all(len(xs) < 2 for xs, _ in lines.values()):
        return None
    b_crit = beside["b_crit_tokens"] if beside is not None else None
    if b_crit is not None and b_crit["value"] is not None:
        places = [x for xs, _ in lines.values() for x in xs]
        lines["critical batch"] = [min(places), max(places)], [b_crit["value"] / 1e3] * 2
        if b_crit["low"] is not None and b_crit["high"] is not None:
            bands["critical batch"] = [(b_crit["low"] / 1e3, b_crit["high"] / 1e3)] * 2
    return curves(lines, "tokens, millions", "noise scale, thousands of tokens", bands=bands)


def _scale(row: Mapping[str, Any]) -> str:
    if row["noise_scale_tokens"] is None:
        return "lost in noise"
    return interval(ends(row, ("noise_scale_tokens", "low", "high")), format_count)
