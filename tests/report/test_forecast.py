import json
from pathlib import Path

from pellucid.core.files import read_json, write_json
from pellucid.core.units import format_bytes, format_energy
from pellucid.report.facts import Fact, Facts
from pellucid.report.forecast import forecast
from pellucid.report.html import Html
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


def test_memory_is_the_stages_own_where_the_system_told_it_apart(run_copy: Path) -> None:
    name = open_recipe(run_copy).train[0].name
    lines = (run_copy / name / "metrics.jsonl").read_text().splitlines()
    most = max(json.loads(line).get("memory_bytes", 0) for line in lines)
    for before, key, text in ((None, "with_runtime_bytes", format_bytes(most)), (2**20, "needs_bytes", format_bytes(most - 2**20))):
        start = json.dumps({**json.loads(lines[0]), "memory_before_bytes": before})
        (run_copy / name / "metrics.jsonl").write_text("\n".join([start, *lines[1:]]) + "\n")
        _, facts = shown(run_copy)
        assert ("plan/plan.json", f"/stages/0/fit/{key}") in {(fact.file, fact.pointer) for fact in facts}
        assert text in {fact.text for fact in facts if fact.pointer.endswith("/memory_bytes")}


def test_energy_that_was_measured_is_shown_with_the_plans_pue(run_copy: Path) -> None:
    recipe = open_recipe(run_copy)
    name = recipe.train[0].name
    manifest, text = read_json(run_copy / name / "manifest.json"), format_energy(recipe.plan.pue)
    for energy, said in (
        ({}, None),
        ({"joules": 3.6e6, "kind": "measured"}, text),
        ({"joules": 3.6e6, "kind": "estimated"}, f"{text}, estimated"),
    ):
        write_json(run_copy / name / "manifest.json", {**manifest, "energy": energy})
        html, facts = shown(run_copy)
        found = [fact for fact in facts if fact.file == f"{name}/manifest.json" and fact.pointer == "/energy/joules"]
        assert [(fact.text, fact.value) for fact in found] == ([] if said is None else [(said, 3.6e6)])
        assert ("not measured" in html) == (said is None)


def test_a_plan_without_bounds_has_no_such_section(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan" / "plan.json")
    for row in plan["stages"]:
        del row["kwh"]
    write_json(run_copy / "plan" / "plan.json", plan)
    assert forecast(Facts(run_copy), open_recipe(run_copy)) is None
