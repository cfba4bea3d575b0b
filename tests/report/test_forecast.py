import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.files import read_json, write_json
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.units import format_bytes, format_duration, format_energy, format_rate
from pellucid.report.facts import Fact, Facts
from pellucid.report.forecast import forecast
from pellucid.report.html import Html
from pellucid.stages.account import read_account
from pellucid.stages.run_folder import open_recipe


def shown(run: Path) -> tuple[str, list[Fact]]:
    section, html = forecast(Facts(run), open_recipe(run)), Html()
    assert section is not None
    return html.block(section), html.numbers


def test_each_stage_has_its_forecast_beside_what_was_measured(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    html, facts = shown(finished_run)
    places = {(fact.file, fact.pointer) for fact in facts}
    plan = read_json(finished_run / "plan" / "plan.json")
    for number, stage in enumerate(recipe.train):
        assert f"The stage {stage.name}, on 1 × " in html
        for key in ("steps", "step/s/low", "step/s/likely", "step/s/high", "wall_s/likely", "usd/high"):
            assert ("plan/plan.json", f"/stages/{number}/{key}") in places, key
        assert any(file == f"{stage.name}/metrics.jsonl" for file, _ in places)
    assert plan["stages"][0]["steps"] == recipe.train[0].total_steps
    assert "inside" in html or "outside" in html


def told_anew(run: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> dict[str, Any]:
    """Write a run's ledger and account once more, with other events in the order given, and return the account."""
    events = change(list(read_ledger(run / "ledger.jsonl")))
    (run / "ledger.jsonl").unlink()
    for event in events:
        fields = {name: value for name, value in event.items() if name not in {"event", "at", "previous", "sha256"}}
        Ledger(run).append(event["event"], **fields)
    account = read_account(run)
    write_json(run / "account" / "account.json", account)
    return account


def spent(facts: list[Fact], stage: str) -> dict[str, Fact]:
    begin = f"/builds/{stage}/"
    return {fact.pointer.removeprefix(begin): fact for fact in facts if fact.pointer.startswith(begin)}


def test_what_was_measured_is_of_all_attempts_of_the_build(run_copy: Path) -> None:
    """Three attempts: another recipe's, one that was killed after 30 s, and the one that went on from it."""
    energy = {"joules": 3.6e6, "kind": "estimated", "counters": [], "missing": {}, "cpu_s": 1.0}

    def killed_before(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        place = next(n for n, event in enumerate(events) if event["event"] == "start" and event["stage"] == "pretrain")
        own = []
        for event in events[place:]:
            number = {"attempt": 3} if event.get("stage") == "pretrain" and "attempt" in event else {}
            own.append({**event, **number, **({"continues": True} if number and event["event"] == "start" else {})})
        lost = []
        for number in (1, 2):
            lost.append({**events[place], "attempt": number, "continues": False})
            lost.append(
                {"event": "killed", "stage": "pretrain", "attempt": number, "seconds": 30.0, "energy": energy, "message": "x"}
            )
        return [*events[:place], *lost, *own]

    account = told_anew(run_copy, killed_before)
    seconds = [one["seconds"] for one in account["attempts"] if one["stage"] == "pretrain"]
    assert len(seconds) == 3 and seconds[:2] == [30.0, 30.0]
    _, facts = shown(run_copy)
    found = spent(facts, "pretrain")
    assert found["hours"].text == format_duration(30.0 + seconds[2]) and found["hours"].value * 3600 == pytest.approx(
        30 + seconds[2]
    )
    recipe = open_recipe(run_copy)
    assert found["kwh_with_pue"].value > recipe.plan.pue and "estimated" in found["kwh_with_pue"].text
    assert found["usd"].value == pytest.approx(found["hours"].value * account["rates"]["usd_per_device_hour"])
    wall = read_json(run_copy / "plan" / "plan.json")["stages"][0]["wall_s"]["likely"]
    assert f"{(30 + seconds[2]) / wall:.2f}, " in shown(run_copy)[0]


def test_when_the_forecast_was_made_is_told_by_the_ledger(run_copy: Path) -> None:
    html, _ = shown(run_copy)
    assert "made from the recipe before this training began" in html and "after" not in html.partition("Its bounds")[0]

    def plan_last(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        of_plan = [event for event in events if event.get("stage") == "plan"]
        return [*(event for event in events if event.get("stage") != "plan"), *of_plan]

    told_anew(run_copy, plan_last)
    html, _ = shown(run_copy)
    names = [stage.name for stage in open_recipe(run_copy).train]
    assert "before this training began" not in html and f"was made after the training of {names[0]}" in html

    def no_plan(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [event for event in events if event.get("stage") != "plan"]

    told_anew(run_copy, no_plan)
    html, _ = shown(run_copy)
    assert "before this training began" not in html and "The ledger does not tell" in html


def test_an_earlier_build_that_could_be_looked_at_is_told(run_copy: Path) -> None:
    name = open_recipe(run_copy).train[0].name
    lost = [{"event": event, "stage": name, "attempt": 1} for event in ("start", "failure")]

    def tried_before(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*lost, *({**one, "attempt": 2} if one.get("stage") == name and "attempt" in one else one for one in events)]

    told_anew(run_copy, tried_before)
    html, _ = shown(run_copy)
    assert "before this training began" in html and f"An earlier build of {name} had been begun" in html


def test_memory_is_the_stages_own_where_the_system_told_it_apart(run_copy: Path) -> None:
    name = open_recipe(run_copy).train[0].name
    metrics = run_copy / name / "metrics.jsonl"
    lines = [json.dumps({**json.loads(line), "mapped_bytes": 0}) for line in metrics.read_text().splitlines()]
    most = max(json.loads(line).get("memory_bytes", 0) for line in lines)
    for before, key, text in ((None, "with_runtime_bytes", format_bytes(most)), (2**20, "needs_bytes", format_bytes(most - 2**20))):
        start = json.dumps({**json.loads(lines[0]), "memory_before_bytes": before, "mapped_before_bytes": 0})
        (run_copy / name / "metrics.jsonl").write_text("\n".join([start, *lines[1:]]) + "\n")
        _, facts = shown(run_copy)
        assert ("plan/plan.json", f"/stages/0/fit/{key}") in {(fact.file, fact.pointer) for fact in facts}
        assert text in {fact.text for fact in facts if fact.pointer.endswith("/memory_bytes")}


def test_memory_after_a_resume_is_that_of_the_process_that_resumed(run_copy: Path) -> None:
    name = open_recipe(run_copy).train[0].name
    records = [json.loads(line) for line in (run_copy / name / "metrics.jsonl").read_text().splitlines()]
    steps = [place for place, record in enumerate(records) if "loss" in record]
    middle = steps[len(steps) // 2]
    start = {**records[0], "memory_before_bytes": 100 * 2**20, "mapped_before_bytes": 10 * 2**20}
    resume = {**start, "event": "resume", "step": records[middle]["step"] - 1, "memory_before_bytes": 700 * 2**20}
    for place in steps:
        records[place] |= {"memory_bytes": (540 if place < middle else 840) * 2**20, "mapped_bytes": 50 * 2**20}
    told = [start, *records[1:middle], resume, *records[middle:]]
    (run_copy / name / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in told))
    _, facts = shown(run_copy)
    found = [fact for fact in facts if fact.file == f"{name}/metrics.jsonl" and fact.pointer.endswith("/memory_bytes")]
    assert [(fact.text, fact.value) for fact in found] == [(format_bytes(400 * 2**20), 540 * 2**20)]


def test_energy_is_shown_with_the_plans_pue_and_how_it_is_known(run_copy: Path) -> None:
    account = read_json(run_copy / "account" / "account.json")
    name, kwh = open_recipe(run_copy).train[0].name, account["rates"]["pue"]
    build = account["builds"][name]
    kinds = {"kwh_measured": 0.0, "kwh_estimated": 0.0, "unknown_hours": 0.0, "kwh_with_pue": kwh}
    for known, said in (
        ({"unknown_hours": build["hours"]}, None),
        ({"kwh_measured": 1.0}, format_energy(kwh)),
        ({"kwh_estimated": 1.0}, f"{format_energy(kwh)}, estimated"),
        ({"kwh_measured": 0.5, "kwh_estimated": 0.5}, f"{format_energy(kwh)}, measured in part"),
    ):
        account["builds"][name] = {**build, **kinds, **known}
        write_json(run_copy / "account" / "account.json", account)
        html, facts = shown(run_copy)
        found = spent(facts, name)
        assert (found["kwh_with_pue"].text if "kwh_with_pue" in found else None) == said
        assert ("not measured" in html) == (said is None)


def test_a_run_without_an_account_of_its_builds_has_a_forecast_all_the_same(run_copy: Path) -> None:
    account = read_json(run_copy / "account" / "account.json")
    del account["builds"]
    write_json(run_copy / "account" / "account.json", account)
    html, facts = shown(run_copy)
    assert "not measured" in html and not any(fact.file == "account/account.json" for fact in facts)
    (run_copy / "account" / "account.json").unlink()
    assert shown(run_copy)[0] == html


def test_a_plan_without_bounds_has_no_such_section(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan" / "plan.json")
    for row in plan["stages"]:
        del row["kwh"]
    write_json(run_copy / "plan" / "plan.json", plan)
    assert forecast(Facts(run_copy), open_recipe(run_copy)) is None


def rows_of(run: Path, stage: str) -> dict[str, list[str]]:
    """Return the cells of one stage's table as text, by the name of the row."""
    html, _ = shown(run)
    (own,) = (one for one in re.split(r"(?=<figure)", html) if f"The stage {stage}, on" in one)
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in re.findall(r"<tr.*?</tr>", own, re.S)]
    return {cells[0]: [re.sub(r"<[^>]*>", "", cell) for cell in cells[1:]] for cells in rows if cells}


def test_the_median_step_is_that_of_seconds_and_examples_are_not_compared_by_tokens_a_second(run_copy: Path) -> None:
    text, examples = rows_of(run_copy, "pretrain"), rows_of(run_copy, "sft")
    assert "tokens per second" in text and "seconds per step" in examples and "tokens per second" not in examples
    records = [record for record in map(json.loads, (run_copy / "sft/metrics.jsonl").read_text().splitlines()) if "loss" in record]
    seconds = sorted(record["step_tokens"] / record["tokens_per_s"] for record in records[len(records) // 10 :])
    assert examples["seconds per step"][3].startswith(f"{format_rate(seconds[len(seconds) // 2])} s")


def test_of_a_length_that_was_not_known_there_is_no_ratio(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan/plan.json")
    for basis, told in (("one_step", "length not known beforehand"), ("at_most", "planned as the most")):
        plan["stages"][1]["length_basis"] = basis
        write_json(run_copy / "plan/plan.json", plan)
        rows = rows_of(run_copy, plan["stages"][1]["name"])
        for name in ("tokens", "steps", "energy", "money"):
            assert rows[name][-1] == told
    plan["stages"][1]["length_basis"] = "counted"
    write_json(run_copy / "plan/plan.json", plan)
    assert re.fullmatch(r"\d+\.\d\d", rows_of(run_copy, plan["stages"][1]["name"])["tokens"][-1])


def test_memory_is_said_to_be_near_its_forecast_or_not(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan/plan.json")
    records = [json.loads(line) for line in (run_copy / "pretrain/metrics.jsonl").read_text().splitlines()]
    before, mapped = records[0]["memory_before_bytes"], records[0]["mapped_before_bytes"]
    most = max(record["memory_bytes"] - record["mapped_bytes"] for record in records if "loss" in record) - before + mapped
    for share, told in ((1.05, "0.95, within 10 %"), (0.5, "2.00, not within 10 %")):
        plan["stages"][0]["fit"]["needs_bytes"] = round(most * share)
        write_json(run_copy / "plan/plan.json", plan)
        assert rows_of(run_copy, "pretrain")["memory"][-1] == told


def test_of_examples_that_took_less_than_planned_it_is_said_why(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan/plan.json")
    for stage in plan["stages"]:
        stage["fit"]["needs_bytes"] *= 10
        stage["step"]["s"] = {"low": 100.0, "likely": 200.0, "high": 300.0}
    write_json(run_copy / "plan/plan.json", plan)
    text, pairs = rows_of(run_copy, "pretrain"), rows_of(run_copy, "dpo")
    assert text["memory"][-1].endswith(", not within 10 %") and text["seconds per step"][-1].endswith(", outside")
    assert pairs["memory"][-1].endswith(", planned as full") and pairs["seconds per step"][-1].endswith(", planned as full")
