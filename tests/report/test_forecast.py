from pathlib import Path

from pellucid.core.files import read_json, write_json
from pellucid.report.facts import Facts
from pellucid.report.forecast import forecast
from pellucid.stages.run_folder import open_recipe


def test_each_stage_has_its_forecast_beside_what_was_measured(finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    html = forecast(Facts(finished_run), recipe)
    plan = read_json(finished_run / "plan" / "plan.json")
    for number, stage in enumerate(recipe.train):
        assert f"The stage {stage.name}, on 1 × " in html
        for key in ("steps", "step/s/low", "step/s/likely", "step/s/high", "fit/with_runtime_bytes", "wall_s/likely", "usd/high"):
            assert f'data-pointer="/stages/{number}/{key}"' in html, key
        assert f'href="../{stage.name}/metrics.jsonl"' in html
    assert plan["stages"][0]["steps"] == recipe.train[0].total_steps
    assert "inside" in html or "outside" in html


def test_energy_that_was_measured_is_shown_with_the_plans_pue(run_copy: Path) -> None:
    recipe = open_recipe(run_copy)
    name = recipe.train[0].name
    assert "not measured" in forecast(Facts(run_copy), recipe)
    manifest = read_json(run_copy / name / "manifest.json")
    write_json(run_copy / name / "manifest.json", {**manifest, "energy": {"joules": 3.6e6}})
    assert f'data-pointer="/energy/joules" data-value="3600000.0">{recipe.plan.pue:.3g} kWh</a>' in forecast(
        Facts(run_copy), recipe
    )


def test_a_plan_without_bounds_has_no_such_section(run_copy: Path) -> None:
    plan = read_json(run_copy / "plan" / "plan.json")
    for row in plan["stages"]:
        del row["kwh"]
    write_json(run_copy / "plan" / "plan.json", plan)
    assert forecast(Facts(run_copy), open_recipe(run_copy)) == ""
