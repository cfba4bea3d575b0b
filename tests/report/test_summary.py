from pathlib import Path
from typing import Any

import pytest

from pellucid.core.files import read_json
from pellucid.core.spending import ACCOUNT
from pellucid.report.benchmarks import find_benchmarks
from pellucid.report.blocks import Card, facts_of, inlines
from pellucid.report.facts import Fact, Facts
from pellucid.report.sections import PLAN, SCORES
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
    assert list(found) == ["The model", "Trained on", "Score on held-out text", "Benchmark", "Cost", "Verified"]
    assert " parameters | 2 layers, width 64" in found["The model"]
    assert "languages" in found["Trained on"] and " in dpo" in found["Trained on"]
    assert "bits per byte | lower is better; of pretrain after step " in found["Score on held-out text"]
    assert "than xz -9: " in found["Score on held-out text"]
    assert found["Verified"] == "every check holds | 12 artifacts, 2 KiB read | again: pellucid verify RUN"


def test_the_sentence_says_what_it_is_and_what_it_learnt_from(finished_run: Path) -> None:
    said = lead(Facts(finished_run), open_recipe(finished_run))
    text = "".join(one.text if isinstance(one, Fact) else one for one in said.parts)
    assert text.startswith("pocket-smoke is a language model of one decoder, tuned to answer: ")
    assert "English" in text and text.endswith("(sft, dpo, self_knowledge).")
    assert [fact.pointer for fact in facts_of(said)] == [
        "/parameters/total",
        *(f"/config/model/{name}" for name in ("layers", "hidden", "context_tokens", "vocab_tokens")),
    ]


@pytest.mark.parametrize(("model", "told"), [(1.5, "better than"), (2.0, "as good as"), (2.5, "worse than")])
def test_a_score_says_whether_a_baseline_wins(finished_run: Path, model: float, told: str) -> None:
    scores = read_json(finished_run / SCORES)
    scores["bits_per_byte"]["total"] |= {"model": model, "xz": 2.0, "ngram": 9.0}
    found = cards(finished_run, {SCORES: scores})["Score on held-out text"]
    assert f"{told} xz -9: 2.000 | better than a 5-gram of the same tokens: 9.000" in found
    del scores["checkpoint"]
    assert "lower is better |" in cards(finished_run, {SCORES: scores})["Score on held-out text"], "scores of earlier versions"


def test_a_suite_has_a_card_of_its_own_with_titles_for_people(run_copy: Path) -> None:
    (file, *_) = find_benchmarks(run_copy)
    metrics = {"margin_nats_error": 0.134, "prefers_right_error": 0.4321, "prefers_right_right": 0.5}
    tasks = {
        name: {"metrics": {metric: {"value": value} for metric, value in metrics.items()}} for name in ("arithmetic", "hellaswag")
    }
    made = {file: {"suite": "reflection", "subject": {"label": "ours"}, "tasks": tasks}}
    found = cards(run_copy, made)
    likelier = "the right way on is the likelier one, after an error"
    assert found["Benchmark"] == (
        f"Recovery from a planted error | of ours | arithmetic: 43.2 %, {likelier} | HellaSwag: 43.2 %, {likelier}"
    )
    assert "arithmetic" not in found["Score on held-out text"]


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


def test_a_forecast_says_which_lengths_were_not_known(finished_run: Path) -> None:
    total = {"attempts": 1, "hours": 1.0, "usd": 0.1, "kwh_measured": 0.0, "kwh_estimated": 0.0, "unknown_hours": 1.0}
    plan = read_json(finished_run / PLAN)
    known = [stage | {"length_basis": "counted"} for stage in plan["stages"]]

    def told(stages: list[dict[str, Any]], one_step_only: list[str]) -> str:
        changed = plan | {"stages": stages, "one_step_only": one_step_only}
        return cards(finished_run, {ACCOUNT: {"total": total}, PLAN: changed})["Cost"]

    first, *others = known
    assert " CO2e | 1 attempt" in told(known, [])
    assert " CO2e, pretrain taken at the most |" in told([first | {"length_basis": "at_most"}, *others], [])
    assert " CO2e, with no more than one step of pretrain |" in told([first | {"length_basis": "one_step"}, *others], ["pretrain"])
