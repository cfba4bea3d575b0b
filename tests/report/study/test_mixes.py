"""The section about mixes, on analyses of runs made by hand."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pellucid.plan.printed_mixes import printed_mixes
from pellucid.recipe.study import CompareConfig, MixesAnalysis
from pellucid.report.blocks import Block, Details, Figure, Note, Paragraph, Section, Table
from pellucid.report.html import render
from pellucid.report.study.mixes import mixes_section
from pellucid.studies.mixes.analyse import analyse_mixes
from pellucid.studies.results import RunResult, Scores

SOURCES = {
    f"{category}.{language}": {"category": category, "language": language}
    for category, language in (("Web", "en"), ("Web", "de"), ("Code", "en"), ("Law", "en"), ("Books", "en"))
}


def run(axis: str, level: str, seed: int, bits: Mapping[str, float], weights: Mapping[str, float]) -> RunResult:
    table: dict[str, dict[str, Scores]] = {"all": {}, "language": {}, "category": {}, "source": {}}
    for name, value in bits.items():
        category, language = name.split(".")
        for kind, group in (("all", "all"), ("language", language), ("category", category), ("source", name)):
            old = table[kind].get(group, Scores(0.0, 0, 0))
            table[kind][group] = Scores(old.nats + 1000 * value * math.log(2), old.bytes + 1000, old.documents + 3)
    return RunResult(f"{level}-s{seed}", {axis: level}, seed, "done", table=table, weights={"pretrain": weights}, sources=SOURCES)


def report_runs(seeds: Iterable[int] = (1, 2, 3)) -> list[RunResult]:
    generator, runs = np.random.default_rng(0), []
    for mix in printed_mixes().mixes:
        weights = printed_mixes().weights_of(mix)
        german = weights["Cultura-x De"]
        of = {
            "Web.en": weights["Cultura-x En"],
            "Web.de": german,
            "Code.en": weights["Starcoder"],
            "Law.en": weights["Others"] / 2,
            "Books.en": weights["Others"] / 2,
        }
        for seed in seeds:
            bits = {name: 2.0 - 0.5 * share + 0.1 * seed + generator.normal(0, 0.004) for name, share in of.items()}
            bits["Web.de"] -= 4 * german
            runs.append(run("mix", mix, seed, bits, of))
    return runs


def section_of(runs: list[RunResult], **config: Any) -> Section:
    return mixes_section(analyse_mixes(runs, MixesAnalysis(**config), CompareConfig()))


def blocks_of(section: Section | Details) -> list[Block]:
    found: list[Block] = []
    for block in section.blocks:
        found += blocks_of(block) if isinstance(block, Section | Details) else [block]
    return found


def tables(section: Section, caption: str) -> list[Table]:
    return [block for block in blocks_of(section) if isinstance(block, Table) and caption in block.caption]


def told(section: Section) -> str:
    return " ".join(str(part) for block in blocks_of(section) if isinstance(block, Paragraph | Note) for part in block.parts)


def test_what_the_report_prints_is_marked_and_stands_below_what_was_read() -> None:
    section = section_of(report_runs(), law=False)
    [shares] = tables(section, "rows of Table 9")
    assert [row.kind for row in shares.rows] == [""] * 6 + ["printed first"] + ["printed"] * 5
    control, printed = shares.rows[0].cells, shares.rows[6].cells
    assert (control[0], printed[0]) == ("control", "control †")
    assert (control[1], printed[1], printed[-1]) == ("69.7", "68.9", "98.9")
    [scores] = tables(section, "in percent.")[-1:]
    assert scores.rows[2].cells == ("mix2 †", "40.69", "64.71", "35.74", "35.93")
    assert all(row.kind.startswith("printed") for row in scores.rows)
    assert "Printed in Stable LM 2 (arXiv 2402.17834)" in told(section)


def test_findings_stand_as_they_came_whether_they_agree_or_not() -> None:
    section = section_of(report_runs(), law=False)
    [findings] = tables(section, "Findings of Appendix A")
    assert [row.cells[1] for row in findings.rows] == ["agrees", "contradicts", "agrees", "contradicts"]
    [numbers] = tables(section, "What the findings rest on")
    assert all(re.match(r"^[+−]?\d\.\d{3} \[", str(row.cells[2])) for row in numbers.rows)


def test_every_difference_has_its_interval_and_maps_mark_what_cannot_be_told_apart() -> None:
    section = section_of(report_runs(), law=False)
    found = [block for block in blocks_of(section) if isinstance(block, Figure)]
    by_language = next(one for one in found if one.caption.startswith("By language"))
    assert "cannot be told apart from 0" in by_language.caption
    cells = {(row[0], row[1]): row[3] for row in by_language.drawing.rows}
    assert cells["mix3", "de"] == "yes" and cells["mix4", "de"] == "no"
    for table in tables(section, "Differences in bits per byte."):
        for row in table.rows:
            assert "[" in str(row.cells[3])
            assert (row.kind == "told") == (row.cells[5] in ("better", "worse"))
    [means] = [one for one in tables(section, "means over seeds") if one.rows[0].cells[0] == "de" or one.rows[-1].cells[0] == "de"]
    german = next(row for row in means.rows if row.cells[0] == "de")
    assert str(german.cells[6]).endswith("↓") and not str(german.cells[7]).endswith(("↓", "↑"))


def test_parts_left_out_have_their_loss_on_all_text_their_own_and_the_rest() -> None:
    generator, runs = np.random.default_rng(0), []
    for level in ("all", "no-Law", "no-Code"):
        for seed in (1, 2, 3):
            bits = {name: 2 + 0.1 * seed + generator.normal(0, 0.003) for name in SOURCES}
            bits |= {"Law.en": bits["Law.en"] + 0.3} if level == "no-Law" else {}
            weights = {name: 0.0 if name.startswith(level[3:]) and level != "all" else 0.2 for name in SOURCES}
            runs.append(run("mix", level, seed, bits, weights))
    section = section_of(runs, law=False)
    [value] = tables(section, "when a part is left out")
    law, code = value.rows
    assert law.cells[:2] == ("Law", "20.0") and str(law.cells[3]).startswith("+0.30") and str(law.cells[3]).endswith("↑")
    assert not str(law.cells[4]).endswith(("↑", "↓")) and not str(code.cells[3]).endswith(("↑", "↓"))


def test_upsampling_one_seed_and_nothing_at_all_make_a_page_that_says_so() -> None:
    nothing = section_of([])
    assert "No run has a level of the axis of mixes." in told(nothing)
    single = section_of(report_runs(seeds=(1,)), law=False)
    assert "One seed: differences have no interval." in told(single)
    [findings] = tables(single, "Findings of Appendix A")
    assert {row.cells[1] for row in findings.rows} == {"cannot be told"}
    runs = [run("upsample", level, 1, dict.fromkeys(SOURCES, 2.0), dict.fromkeys(SOURCES, 0.2)) for level in ("none", "Law")]
    assert "More of a domain at the end" in render(section_of(runs, law=False))


def test_the_section_is_a_page_without_anything_unfinished() -> None:
    page = render(section_of(report_runs(), forecast=("mix2",)))
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower().replace("finance", "")
    assert "None" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
