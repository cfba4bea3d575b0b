"""The section of a study about batch sizes: steps and tokens to equal loss, the critical batch, the gradient noise scale."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.scores import format_p
from pellucid.core.units import format_count
from pellucid.report.blocks import Block, Drawing, Section, Table
from pellucid.report.canvas import COLOURS, WIDTH, canvas, plain_name, svg_of
from pellucid.report.figures import curves
from pellucid.report.markup import Cell, figure, heading, note, paragraph, section, table
from pellucid.report.study.noise import noise_blocks
from pellucid.report.study.numbers import ends, interval

__all__ = ["batch_size_section"]

_MEASURES = {"loss": "training loss", "bits_per_byte": "held-out text"}
_MARKS = ("o", "s")
_RATIO = ("ratio", "low", "high")
_SAME_RATES = "; here, as in the report, the rate is the same for all, which makes large batches look worse than they can be"
_LAW = (("b_crit_tokens", format_count), ("e_min_tokens", format_count), ("s_min_steps", "{:.0f}".format))


def batch_size_section(found: Mapping[str, Any]) -> Section:
    """Return the section from the values that `studies.batch_size` leaves; what is missing is said in its notes."""
    known = {name: found[name] for name in _MEASURES if found[name] is not None}
    parts: list[Block] = [paragraph(_asked(found))] if found["baseline"] else []
    if known:
        parts += [paragraph(text) for text in _findings(known, found)]
        parts += _steps_and_tokens(known)
    parts += [_table(measure, name, found["printed"], shown=n == 0) for n, (name, measure) in enumerate(known.items())]
    parts += map(note, found["printed"]["notes"] if known else ())
    parts += _law(known, found)
    parts += _loss_curves(found)
    parts += noise_blocks(found["noise"])
    parts += map(note, found["notes"])
    return section("batch-size", "Batch size", *parts)


def _asked(found: Mapping[str, Any]) -> str:
    base = found["baseline"]
    rates = {
        True: "Every step has the same learning rate in all of them, as in Figure 6 of the Stable LM 2 report",
        False: "Their learning rates differ, other than in Figure 6 of the Stable LM 2 report",
    }
    return (
        f"A baseline with {_tokens(base['batch_tokens'])} tokens a step was trained for {base['trained_steps']} steps, "
        f"{_tokens(base['trained_tokens'])} tokens. Larger batches were trained until they were as good. "
        f"{rates[found['same_rates']]}. Training losses are means over a centred window of {_tokens(found['window_tokens'])} "
        "tokens for every batch size: the baseline's is the one in the middle of its last window, and steps and tokens are counted "
        "to there. A loss counts as reached once the curve stays at or below it. If a step takes as long with a larger batch, on "
        "more devices, the factor in steps is by how much training can be faster at most."
    )


def _findings(known: Mapping[str, Mapping[str, Any]], found: Mapping[str, Any]) -> list[str]:
    """Return what came out, by each measure, beside what the report prints; also where it says otherwise."""
    told = []
    for name, measure in known.items():
        others = [row for row in measure["rows"] if row["level"] != found["baseline"]["level"]]
        if not others:
            continue
        last = others[-1]
        ways = f"{last['batch_tokens'] / found['baseline']['batch_tokens']:.3g} times the batch"
        if last["tokens"]["value"] is None:
            text = f"By {_MEASURES[name]}, {ways} came to the baseline's in {last['reached']} of {last['runs']} runs."
        else:
            text = (
                f"By {_MEASURES[name]}, {ways} needed {_factor(last['token_factor'])} times the tokens and took "
                f"{_factor(last['step_factor'])} times fewer steps; the report prints 1.96 and 2 for 4 times the batch."
            )
        told.append(" ".join([text, *_between(measure["between"])]))
    return told


def _between(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return how steps change from one batch size to the next, and how sure that is, in one sentence; more where they grow."""
    words = {"fewer": "fewer", "more": "more, other than in the report", "cannot be told apart": "cannot be told apart"}
    told = []
    for pair in pairs:
        if pair["ratio"] is not None:
            names = " to ".join(map(_tokens, pair["batch_tokens"]))
            sure = f"p = {format_p(pair['p_holm'])}, ".replace("= <", "<") if pair["p_holm"] is not None else ""
            word = words.get(pair["verdict"], "how sure is not known")
            told.append(f"{interval(ends(pair, _RATIO), _two)} from {names} tokens ({sure}{word})")
    if not told:
        return []
    text = f"From one batch size to the next, within seeds, steps are multiplied by {'; '.join(told)}."
    corrected = any(pair["p_holm"] is not None for pair in pairs)
    return [f"{text} Intervals are of each pair by itself, p is corrected for all of them (Holm)." if corrected else text]


def _steps_and_tokens(known: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    told = "Points are geometric means over seeds with 95 % intervals; lines are the law fitted to them, with its band."
    opened = any(row["at_least_tokens"] for measure in known.values() for row in measure["rows"])
    told += " An open triangle is a lower bound: some run did not come to the loss." if opened else ""
    return [
        figure(_by_batch(known, "steps", 1.0), f"Steps to the baseline's loss by batch size. {told}", ""),
        figure(_by_batch(known, "tokens", 1e-6), f"Tokens to the baseline's loss by batch size. {told}", ""),
    ]


def _by_batch(known: Mapping[str, Mapping[str, Any]], name: str, scale: float) -> Drawing:
    """Draw one figure of rows, times `scale`, over batch size: points with intervals, the law with its band, lower bounds."""
    drawn, axes = canvas(WIDTH, 2.9)
    y_label = f"{name} to equal loss{', millions' if scale != 1 else ''}"
    lines: list[tuple[str | float | None, ...]] = []
    for number, (key, measure) in enumerate(known.items()):
        colour, shift = COLOURS[number], 1 + 0.02 * (number - (len(known) - 1) / 2)
        curve = measure["law"]["curve"] if measure["law"] is not None else None
        if curve is not None:
            axes.plot(curve["batch_tokens"], _times(curve[name], scale), color=colour, linewidth=1.2, linestyle="--", zorder=2)
        if curve is not None and curve[f"{name}_low"] is not None:
            ends = (_times(curve[f"{name}_{end}"], scale) for end in ("low", "high"))
            axes.fill_between(curve["batch_tokens"], *ends, color=colour, alpha=0.15, linewidth=0, zorder=1)
        label = plain_name(_MEASURES[key])
        for row in measure["rows"]:
            x, title = row["batch_tokens"] * shift, f"{_MEASURES[key]}, {row['level']}"
            if row["at_least_tokens"] is not None:
                least = row["at_least_tokens"] * scale / (row["batch_tokens"] if name == "steps" else 1)
                axes.plot([x], [least], marker="^", markersize=6, markerfacecolor="none", color=colour, linestyle="none", zorder=3)
                lines.append((f"{title}, at least", row["batch_tokens"], least, None, None))
                continue
            value, low, high = (None if row[name][end] is None else row[name][end] * scale for end in ("value", "low", "high"))
            if low is not None:
                axes.plot([x, x], [low, high], color=colour, linewidth=1.4, alpha=0.6, zorder=2)
            axes.plot([x], [value], marker=_MARKS[number], markersize=5, color=colour, linestyle="none", label=label, zorder=3)
            label = ""
            lines.append((title, row["batch_tokens"], value, low, high))
    batches = sorted({row["batch_tokens"] for measure in known.values() for row in measure["rows"]})
    axes.set_xticks(batches, [plain_name(_tokens(batch)) for batch in batches])
    axes.set_xlabel("tokens of a batch")
    axes.set_ylabel(y_label)
    axes.set_ylim(bottom=0)
    axes.legend()
    return Drawing(svg_of(drawn), ("", "tokens of a batch", y_label, "low", "high"), tuple(lines))


def _times(values: Sequence[float], scale: float) -> list[float]:
    return [value * scale for value in values]


def _table(measure: Mapping[str, Any], name: str, printed: Mapping[str, Any], *, shown: bool) -> Table:
    """Return the rows of one measure, and where `shown` those that the report prints below them, marked."""
    rows: list[list[Cell]] = []
    for row in measure["rows"]:
        bound = row["at_least_tokens"]
        cells: list[Cell] = [_tokens(row["batch_tokens"]), f"{row['reached']} of {row['runs']}"]
        if bound is None:
            cells += [interval(ends(row["steps"]), _whole), interval(ends(row["tokens"]), format_count)]
        else:
            cells += [f"over {_whole(bound / row['batch_tokens'])}", f"over {format_count(bound)}"]
        rows.append([*cells, *(interval(ends(row[key]), _two) for key in ("step_factor", "token_factor")), _spread(row["spread"])])
    ours = len(rows)
    rows += _printed_rows(printed) if shown else []
    sure = "No batch size has two seeds, so there are no intervals."
    if measure["spread"] is not None:
        sure = f"Intervals are 95 %, by the spread of seeds pooled over batch sizes ({_spread(measure['spread'])}, "
        sure += f"{measure['freedom']} degrees of freedom)."
    caption = f"To equal {_MEASURES[name]}. Speed-up: the baseline's steps over these, an upper bound. {sure}"
    kinds = {n: "printed first" if n == ours else "printed" for n in range(ours, len(rows))}
    columns = ("Tokens a step", "Reached", "Steps", "Tokens", "Speed-up at most", "Tokens, factor", "Spread of seeds")
    return table(columns, rows, caption=caption, kinds=kinds)


def _printed_rows(printed: Mapping[str, Any]) -> list[list[Cell]]:
    small, large = map(format_count, printed["tokens"])
    factors = f"{printed['step_factor']:.3g}", f"{printed['token_factor']:.3g}"
    by_division = f"{printed['step_factor_by_division']:.2f}", f"{printed['token_factor_by_division']:.2f}"
    return [
        ["4M (printed)", None, None, small, None, None, None],
        ["16.7M (printed)", None, None, large, *factors, None],
        ["16.7M, divided from the printed tokens", None, None, None, *by_division, None],
    ]


def _law(known: Mapping[str, Mapping[str, Any]], found: Mapping[str, Any]) -> list[Block]:
    printed = found["printed"]
    told: list[Block] = []
    for name, measure in known.items():
        law = measure["law"]
        if law is None:
            continue
        if law["b_crit_tokens"]["value"] is None:
            ways = "hardly grow with the batch" if law["side"] == "above" else "grow as fast as the batch"
            text = (
                f"By {_MEASURES[name]} tokens {ways}: the critical batch lies {law['side']} those that were tried, and is not known"
            )
            text += f"; it is {_ends(law['b_crit_tokens'])}." if _ends(law["b_crit_tokens"]) else "."
        else:
            figures = (interval(ends(law[key]), show) for key, show in _LAW)
            text = (
                f"By {_MEASURES[name]} the critical batch is {next(figures)} tokens, with at least {next(figures)} tokens for very "
                f"small batches and at least {next(figures)} steps for very large ones."
            )
        told.append(paragraph(text))
    if not told:
        return []
    law_text = (
        "The law is (S/S_min - 1)·(E/E_min - 1) = 1 for S steps and E tokens to equal loss (McCandlish et al. 2018, "
        "arXiv 1812.06162): tokens grow as 1 + batch / critical batch. It was found with a learning rate tuned for each batch size"
        f"{_SAME_RATES if found['same_rates'] else ''}. "
        f"Through the report's two printed points it has a critical batch of {format_count(printed['b_crit_tokens_by_division'])} "
        f"tokens; the report chose {format_count(printed['chosen_batch_tokens'])}."
    )
    return [heading("Critical batch size"), *told, note(law_text)]


def _loss_curves(found: Mapping[str, Any]) -> list[Block]:
    told: list[Block] = []
    for key, what in (("curves", "nats per token"), ("points", "bits per byte")):
        drawn = [one for one in found[key] if len(one["tokens"]) > 1]
        for over, label, scale in (("steps", "steps", 1.0), ("tokens", "tokens, millions", 1e-6)):
            if not drawn:
                continue
            lines = {f"{one['level']} tokens": ([x * scale for x in one[over]], one["value"]) for one in drawn}
            bands = {f"{one['level']} tokens": list(zip(one["low"], one["high"], strict=True)) for one in drawn}
            title = "Smoothed training loss" if key == "curves" else "Held-out bits per byte"
            caption = f"{title} over {over}, by batch size: the mean over seeds, with the least and the greatest of them."
            told.append(figure(curves(lines, label, what, bands=bands), caption, ""))
    return [heading("Learning curves"), *told] if told else []


def _ends(one: Mapping[str, float | None]) -> str:
    told = [f"{word} {format_count(end)}" for word, end in (("over", one["low"]), ("under", one["high"])) if end is not None]
    return " and ".join(told)


def _factor(one: Mapping[str, float | None]) -> str:
    return interval(ends(one), _two)


def _two(value: float) -> str:
    return f"{value:.2f}"


def _whole(value: float) -> str:
    return f"{value:.0f}"


def _spread(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _tokens(value: float) -> str:
    return f"{value:,.0f}".replace(",", "\u202f")
