import json
from pathlib import Path

import pytest

from pellucid.cli.main import main

ROOT = Path(__file__).parents[2]


def test_a_plan_as_json_prints_stable_keys_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(ROOT / "recipes" / "stable-lm-2-1.6b.yaml")
    assert main(["plan", recipe, "--json", "--runs", str(tmp_path / "runs")]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["parameters"]["total"] == 1_644_515_328
    assert {"name", "weight", "tokens", "epochs", "category"} <= plan["sources"][0].keys()
    assert plan["tokens"]["total"] > 2e12
    assert not (tmp_path / "runs").exists()


def test_all_problems_of_a_recipe_are_shown_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = str(ROOT / "recipes" / "pocket-smoke.yaml")
    wrong = ["--set", "train.0.batch_tokens=1000", "--set", "model.heads=5", "--set", "train.0.schedule.peak_lr=-1"]
    assert main(["run", recipe, "--runs", str(tmp_path), *wrong]) == 2
    shown = capsys.readouterr().err
    assert "4 problems" in shown
    for field in ("train[0].batch_tokens", "model.hidden", "model.kv_heads", "train[0].schedule.peak_lr"):
        assert field in shown
    assert not list(tmp_path.iterdir()), "a wrong recipe leaves no run behind"


def test_a_single_stage_needs_the_stages_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shards", str(ROOT / "recipes" / "pocket-smoke.yaml"), "--runs", str(tmp_path)]) == 1
    assert "pellucid documents" in capsys.readouterr().err


def test_what_was_dropped_is_shown_after_the_stage_has_run_and_when_it_was_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "web.jsonl").write_text('{"text": "one"}\n{"text": "one"}\n{"text": "two"}\n')
    source = "{name: web, path: web.jsonl, weight: 1, category: Web}"
    (tmp_path / "r.yaml").write_text(f"extends: {ROOT / 'recipes' / 'pocket-smoke.yaml'}\nsources: [{source}]\n")
    for _ in range(2):
        assert main(["documents", str(tmp_path / "r.yaml"), "--runs", str(tmp_path / "runs"), "--show-dropped", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [(row["source"], row["reason"], row["documents"]) for row in found["dropped"]] == [("web", "exact duplicate", 1)]


def test_a_plan_for_other_devices_is_printed_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, runs = str(ROOT / "recipes" / "stable-lm-2-1.6b.yaml"), ["--runs", str(tmp_path / "runs")]
    assert main(["plan", recipe, *runs, "--on", "512xA100-40GB"]) == 0
    text = capsys.readouterr().out.replace("\u00a0", " ")
    for part in ("it fits", "bound by compute", "35% to 44%", "→ 2", "inside the forecast of 132 to 229"):
        assert part in text, part
    assert main(["plan", recipe, *runs, "--on", "8xH100", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["device"]["name"], plan["device"]["count"]) == ("H100", 8)
    assert main(["plan", recipe, *runs, "--on", "8xA100"]) == 2
    assert "--on: got '8xA100'; there is no device 'A100', only A100-40GB" in capsys.readouterr().err
    assert main(["plan", recipe, *runs, "--on", ""]) == 2
    assert "--on: got ''; write COUNTxDEVICE" in capsys.readouterr().err
    assert main(["plan", recipe, *runs, "--on", "-1xH100"]) == 2
    assert "--on: got '-1xH100'; the number of devices must be from 1 to" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_this_machine_is_measured_for_a_plan_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, runs = str(ROOT / "recipes" / "pocket-smoke.yaml"), ["--runs", str(tmp_path / "runs")]
    assert main(["plan", recipe, *runs]) == 0
    capsys.readouterr()
    (run,) = (tmp_path / "runs").iterdir()
    kept, plan = (json.loads((run / "plan" / name).read_text()) for name in ("machine.json", "plan.json"))
    assert "this machine" in kept["title"] and plan["device"]["peak_flops"] == kept["peak_flops"]
    assert main(["plan", recipe, *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"]["peak_flops"] == kept["peak_flops"]
