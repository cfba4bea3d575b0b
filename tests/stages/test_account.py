import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.core.artifacts import fingerprint, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, sha256_file
from pellucid.core.ledger import Ledger, read_ledger
from pellucid.core.spending import Rates, account_of
from pellucid.recipe.after import PlanConfig
from pellucid.stages.account import read_account, spending_rates
from pellucid.stages.attempt import attempt

RECIPE = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"


def test_the_rates_are_the_recipes_where_it_has_them_and_else_the_devices() -> None:
    assert spending_rates(PlanConfig()) == Rates(0.1, 1.1, 0.385, 1)
    given = PlanConfig(device="A100-40GB", devices=512, price_per_device_hour=2, pue=1.3, grid_kg_co2e_per_kwh=0.05)
    assert spending_rates(given) == Rates(2.0, 1.3, 0.05, 512)


def test_a_finished_run_has_an_account_that_its_ledger_still_gives(finished_run: Path) -> None:
    account = read_json(finished_run / "account" / "account.json")
    rates = Rates(**account["rates"])
    again = account_of(list(read_ledger(finished_run / "ledger.jsonl"))[: account["ledger"]["lines"]], rates)
    assert again == account and read_manifest(finished_run / "account", "account").config == {"rates": asdict(rates)}
    stages = [one["stage"] for one in account["attempts"]]
    assert {"plan", "documents", "pretrain", "evaluate", "export"} <= set(stages) and not {"account", "report"} & set(stages)
    seconds = sum(read_manifest(finished_run / name).seconds for name in ("documents", "pretrain", "exports"))
    assert account["total"]["hours"] * 3600 >= 0.9 * seconds > 0
    assert account["total"]["unknown_hours"] == 0 < account["total"]["kg_co2e"]


def test_lines_that_add_nothing_make_no_new_account_and_no_new_report_and_work_does(run_copy: Path) -> None:
    before = {name: fingerprint(run_copy / name) for name in ("account", "report")}
    page = (run_copy / "report" / "index.html").read_bytes()
    for _ in range(2):
        assert main(["report", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    assert {name: fingerprint(run_copy / name) for name in ("account", "report")} == before
    assert (run_copy / "report" / "index.html").read_bytes() == page
    with pytest.raises(KeyboardInterrupt), attempt(run_copy, "verify --replay"):
        raise KeyboardInterrupt
    assert main(["report", str(RECIPE), "--runs", str(run_copy.parent)]) == 0
    account = read_json(run_copy / "account" / "account.json")
    assert account["attempts"][-1]["stage"] == "verify --replay" and account["counts"]["stops"] == 1
    assert account["without_end"]["attempts"] == 1


@pytest.mark.skipif(shutil.which("jq") is None or shutil.which("bash") is None, reason="needs bash and jq")
def test_the_three_lines_of_the_documentation_check_a_ledger_by_hand(run_copy: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text()
    lines = text.partition("```sh\n")[2].partition("```")[0]

    def checked() -> str:
        return subprocess.run(["bash", "-c", lines], cwd=run_copy, capture_output=True, text=True).stdout

    said, manifest = checked().split("\n"), sha256_file(run_copy / "pretrain" / "manifest.json")
    assert said[:2] == ["the chain holds", manifest] and said[2].startswith(manifest)
    ledger = run_copy / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"seconds":', b'"seconde":', 1))
    said = checked().split("\n")
    assert said[0].startswith("altered: ") and "the chain holds" not in said


def test_the_account_of_now_is_refused_where_the_ledger_does_not_hold(run_copy: Path) -> None:
    found = read_account(run_copy)
    assert found["counts"]["kills"] == 0
    Ledger(run_copy).append("start", stage="sft", attempt=9, process={})
    assert read_account(run_copy) == found, "what is not over is not in it"
    ledger = run_copy / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"seconds":', b'"seconde":', 1))
    with pytest.raises(ArtifactError, match="ledger"):
        read_account(run_copy)
