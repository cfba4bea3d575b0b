"""A study's section about data mixes: what text was made of, the report's findings asked again, scores by group, values, a law."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.scores import format_p
from pellucid.core.units import format_bytes
from pellucid.plan.printed_mixes import printed_mixes
from pellucid.report.blocks import Block, Cell, Section
from pellucid.report.markup import details, figure, heading, note, paragraph, section, table
from pellucid.report.study.mixes_law import law_blocks
from pellucid.report.study.mixes_map import Difference, difference_map
from pellucid.report.study.numbers import DIFFERENCE, difference, ends, signed

__all__ = ["mixes_section"]

Found = Mapping[str, Any]

_KINDS = {
    "all": "All held-out text",
    "language": "By language",
    "category": "By domain, all languages together",
    "english": "English text by domain",
}
_BY = {"row": "rows of Table 9", "category": "categories", "source": "sources"}
_SURE = ("better", "worse")


def mixes_section(found: Found) -> Section:
    """Return the section of what `analyse_mixes` found; raise `MissingExtraError` without matplotlib."""
    if not found["levels"]:
        parts: list[Block] = [paragraph("No run has a level of the axis of mixes.")]
    else:
        parts = [_lead(found), *_shares(found["shares"]), *_findings(found["findings"])]
        parts += _value(found["value"]) + _scores(found["scores"], found["baseline"])
        parts += law_blocks(found["law"])
    parts += map(note, found["notes"])
    if (up := found["upsample"]) is not None:
        parts.append(heading("More of a domain at the end"))
        parts += [*_shares(up["shares"]), *_scores(up["scores"], up["baseline"])]
    return section("mixes", "Data mixes", *parts)


def _lead(found: Found) -> Block:
    seeds = len(found["seeds"])
    return paragraph(
        f"{len(found['levels'])} mixes with {seeds} seed{'s' * (seeds != 1)} each, compared by bits per byte of held-out text, of "
        f"which less is better. Differences are from {found['baseline']} with the same seeds; intervals are 95 %, from the noise "
        "of all runs, or of the two mixes alone where one mix has more of it than chance gives, and are about this held-out "
        "text: another sample of text would differ by more. p is corrected over all cells "
        "of a table together (Holm), intervals are not: one that leaves out 0 by little may still not be told apart."
    )


def _shares(shares: Found | None) -> list[Block]:
    if shares is None:
        return []
    kinds: dict[int, str] = {}
    lines: list[list[Cell]] = [
        [row["level"], *(_percent(row["shares"].get(name)) for name in shares["names"]), "100.0"] for row in shares["levels"]
    ]
    is_printed = any(row["printed"] is not None for row in shares["levels"])
    for row in shares["levels"]:
        if row["printed"] is not None:
            kinds[len(lines)] = "printed" if kinds else "printed first"
            weights = [_percent(row["printed"].get(name)) for name in shares["names"]]
            lines.append([f"{row['level']} †", *weights, _percent(row["printed_sum"])])
    heads = ("Mix", *shares["names"], *(("Sum",) if is_printed else ()))
    lines = lines if is_printed else [line[:-1] for line in lines]
    caption = f"What the text of each mix was made of, by {_BY[shares['by']]}, in percent of tokens."
    parts: list[Block] = [table(heads, lines, caption=caption, kinds=kinds)]
    if is_printed:
        parts.append(
            note(
                f"† Printed in {printed_mixes().place}; not measured here. The printed columns do not add up to 100: weights are "
                "read as shares of their sum."
            )
        )
    return parts


def _findings(findings: Sequence[Found]) -> list[Block]:
    """Return the report's findings with what its Table 10 prints, what came here, and whether that agrees."""
    if not findings:
        return []
    parts: list[Block] = [heading("The report's findings, asked again")]
    parts.append(
        paragraph(
            "The report trained models of 1 B parameters on 100 B tokens and scored benchmarks; here small models are scored by "
            "bits per byte. Directions can be compared, sizes cannot."
        )
    )
    lines: list[list[Cell]] = [[one["claim"], one["verdict"], one["why"]] for one in findings]
    parts.append(table(("The report", "Here", "Because"), lines, caption="Findings of Appendix A.", numbers_from=3))
    rows: list[list[Cell]] = []
    told: dict[int, str] = {}
    for one in findings:
        for row in one["rows"]:
            told |= {len(rows): "told"} if row["verdict"] in _SURE else {}
            seeds = " · ".join(signed(value, 3) for value in row["paired"]) or None
            words = [_difference(row), seeds, format_p(row["p_holm"]), row["verdict"]]
            rows.append([one["name"].replace("_", " "), row["what"], *words])
    heads = ("Finding", "Text", "Difference [95 %]", "By seed", "p", "In words")
    caption = "What the findings rest on: differences in bits per byte, p corrected over the rows of a finding."
    parts.append(details("The numbers", table(heads, rows, caption=caption, numbers_from=2, kinds=told)))
    scores = printed_mixes().scores
    printed: list[list[Cell]] = [[f"{row.mix} †", *(f"{value:.2f}" for value in row.values)] for row in scores.rows]
    kinds = {number: "printed" if number else "printed first" for number in range(len(printed))}
    parts.append(
        table(("Mix", *scores.columns), printed, caption=f"† Printed in {printed_mixes().place}, in percent.", kinds=kinds)
    )
    return parts


def _value(rows: Sequence[Found]) -> list[Block]:
    """Return what text loses without each part."""
    if not rows:
        return []
    lines: list[list[Cell]] = []
    for row in rows:
        differences = [_difference(row[column]) + _mark(row[column]) for column in ("overall", "own", "others")]
        lines.append([row["name"], _percent(row["share"]), *differences])
    heads = ("Without", "Share before, %", "All text", "Its own text", "All other text")
    caption = (
        "What held-out text loses when a part is left out and the others take its place: bits per byte with 95 % intervals. ↓ is "
        "better without it, ↑ is worse; without a mark it cannot be told apart, p of a column corrected together."
    )
    cells_of = ("overall", "own", "others")
    drawn = [[_cell(row[column]) for column in cells_of] for row in rows]
    drawing = difference_map(drawn, [row["name"] for row in rows], ["all text", "its own", "all other"], "held-out text", _UNIT)
    return [
        heading("What each part is worth"),
        figure(drawing, f"What text loses without each part. {_HATCHED}", ""),
        table(heads, lines, caption=caption, numbers_from=1),
    ]


_UNIT = "difference, bits per byte"
_HATCHED = "Purple is better, orange worse; hatched and in brackets: cannot be told apart from 0."


def _scores(scores: Mapping[str, Sequence[Found]], baseline: str | None) -> list[Block]:
    parts: list[Block] = []
    for kind, groups in scores.items():
        if not groups or not groups[0]["rows"]:
            continue
        levels = [row["level"] for row in groups[0]["rows"]]
        others = [level for level in levels if level != baseline]
        parts.append(heading(_KINDS[kind]))
        if others and len(groups) > 1:
            cells = [[_cell(_at(group, level)) for group in groups] for level in others]
            names = [group["group"] for group in groups]
            drawing = difference_map(cells, others, names, "held-out text", _UNIT)
            parts.append(figure(drawing, f"{_KINDS[kind]}: differences from {baseline}. {_HATCHED}", ""))
        parts.append(_means(groups, levels, baseline))
        parts.append(details(f"{_KINDS[kind]}: intervals and seeds", _intervals(groups, others), _seeds(groups)))
    return parts


def _means(groups: Sequence[Found], levels: Sequence[str], baseline: str | None) -> Block:
    lines: list[list[Cell]] = []
    for group in groups:
        cells: list[Cell] = [group["group"], str(group["documents"]), format_bytes(group["bytes"])]
        for level in levels:
            row = _at(group, level)
            mean = None if row is None or row["mean"] is None else f"{row['mean']:.3f}"
            cells.append(None if mean is None else mean + _mark(row))
        lines.append(cells)
    heads = ("Text", "Documents", "Size", *levels)
    caption = f"Bits per byte, means over seeds. ↓ is better than {baseline}, ↑ is worse; without a mark it cannot be told apart."
    return table(heads, lines, caption=caption)


def _intervals(groups: Sequence[Found], others: Sequence[str]) -> Block:
    lines: list[list[Cell]] = []
    told: dict[int, str] = {}
    for group in groups:
        for level in others:
            row = _at(group, level)
            if row is not None:
                told |= {len(lines): "told"} if row["verdict"] in _SURE else {}
                cells: list[Cell] = [group["group"], level, str(row["runs"]), _difference(row), format_p(row["p_holm"])]
                lines.append([*cells, row["verdict"]])
    heads = ("Text", "Mix", "Runs", "Difference [95 %]", "p", "In words")
    return table(heads, lines, caption="Differences in bits per byte.", numbers_from=2, kinds=told)


def _seeds(groups: Sequence[Found]) -> Block:
    """Return the score of every run."""
    seeds = list(dict.fromkeys(seed for group in groups for row in group["rows"] for seed in row["seeds"]))
    lines: list[list[Cell]] = []
    for group in groups:
        for row in group["rows"]:
            own = dict(zip(row["seeds"], row["values"], strict=False))
            lines.append([group["group"], row["level"], *(f"{own[seed]:.4f}" if seed in own else None for seed in seeds)])
    heads = ("Text", "Mix", *(f"Seed {seed}" for seed in seeds))
    return table(heads, lines, caption="Bits per byte of each run.", numbers_from=2)


def _at(group: Found, level: str) -> Found | None:
    return next((row for row in group["rows"] if row["level"] == level), None)


def _cell(row: Found | None) -> Difference | None:
    return None if row is None or row.get("difference") is None else Difference(row["difference"], row["verdict"] in _SURE)


def _difference(row: Found) -> str:
    return difference(ends(row, DIFFERENCE), 3)


def _mark(row: Found | None) -> str:
    return {"better": " ↓", "worse": " ↑"}.get((row or {}).get("verdict", ""), "")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f}"
