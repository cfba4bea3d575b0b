from pathlib import Path
from typing import Any

from pellucid.core.spending import ACCOUNT
from pellucid.report.blocks import Card, facts_of, inlines
from pellucid.report.facts import Fact, Facts
from pellucid.report.summary import first_screen, lead
from pellucid.report.verified import VERIFICATION
from pellucid.stages.run_folder import open_recipe

HOLDS = {"artifacts": 12, "bytes": 2048, "faults_found": 0, "faults": [], "checks": [], "notes": []}


def words(card: Card) -> str:
    lines = (card.answer, *card.lines)
    return " | ".join("".join(one.text if isinstance(one, Fact) else one for one in inlines(line)) for line in lines)


def cards(run: Path, made: dict[str, Any]) -> dict[str, str]:
    return {card.title: words(card) for card in first_screen(Facts(run, made), open_recipe(run)).cards}


def test_the_first_screen_answers_what_people_ask(finished_run: Path) -> None:
    found = cards(finished_run, {VERIFICATION: HOLDS})
    assert list(found) == ["The model", "Trained on", "Scores on held-out text", "Cost", "Verified"]
    assert " parameters | 2 layers, width 64" in found["The model"]
    assert "languages" in found["Trained on"] and " in dpo" in found["Trained on"]
    assert "bits per byte" in found["Scores on held-out text"] and "xz -9" in found["Scores on held-out text"]
    assert found["Verified"] == "every check holds | 12 artifacts, 2 KiB read | again: pellucid verify RUN"


def test_the_sentence_says_what_it_is_and_what_it_learnt_from(finished_run: Path) -> None:
    said = lead(Facts(finished_run), open_recipe(finished_run))
    text = "".join(one.text if isinstance(one, Fact) else one for one in said.parts)
    assert text.startswith("pocket-smoke is a language model of one decoder, tuned to answer: ")
    assert "English" in text and text.endswith("(sft, dpo, self_knowledge).")
    assert len(list(facts_of(said))) == 1


def test_faults_are_counted_and_what_was_not_checked_is_said(finished_run: Path) -> None:
    two = HOLDS | {"faults_found": 2, "faults": ["a", "b"]}
    assert cards(finished_run, {VERIFICATION: two})["Verified"].startswith("2 faults | ")
    bad = first_screen(Facts(finished_run, {VERIFICATION: two}), open_recipe(finished_run)).cards[-1]
    assert bad.kind == "bad"


def test_the_cost_is_the_accounts_and_says_what_was_measured(finished_run: Path) -> None:
    total = {
        "attempts": 3, "hours": 1.5, "usd": 0.021, "kwh_measured": 0.0, "kwh_estimated": 0.5, "kwh_with_pue": 0.55,
        "kg_co2e": 0.21175, "unknown_hours": 0.0,
    }  # fmt: skip
    found = cards(finished_run, {ACCOUNT: {"total": total}})["Cost"]
    assert found.startswith("1 h 30 min | US$ 0.0210 at") and "550 Wh, 212 g CO2e (estimated)" in found
    part = total | {"kwh_measured": 0.1}
    assert "(measured in part)" in cards(finished_run, {ACCOUNT: {"total": part}})["Cost"]
    some = total | {"unknown_hours": 0.25}
    assert (
        "(estimated) | without 15 min 00 s whose energy was not written down"
        in cards(finished_run, {ACCOUNT: {"total": some}})["Cost"]
    )
    assert "without" not in found
    unknown = total | {"unknown_hours": 1.5}
    assert "energy not written down; forecast: " in cards(finished_run, {ACCOUNT: {"total": unknown}})["Cost"]
