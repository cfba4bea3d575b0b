import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.release.account import Account
from pellucid.release.machines import trained_on


def moved(run: Path, account: Account) -> Account:
    return Account(run, account.recipe, account.sources, account.selection)


def change(run: Path, stage: str, **facts: Any) -> None:
    file = run / stage / "metrics.jsonl"
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps(json.loads(first) | facts), *rest]) + "\n")


def test_one_machine_for_all_stages_is_told_once(account: Account) -> None:
    (told,) = trained_on(account)
    environment = read_manifest(account.run / "pretrain").environment
    assert (
        told
        == f"{environment['processor']}, {environment['cores']} cores, {environment['system']}; computed on the processor in fp32"
    )


@pytest.mark.parametrize(
    ("facts", "device"),
    [
        (
            {"device": "cuda:0", "ranks": 8, "precision": "bf16", "peak_source": "data sheet of H100, dense bf16"},
            "8 GPUs (H100) in bf16",
        ),
        ({"device": "cuda:0", "ranks": 1, "precision": "fp32", "peak_source": "fastest of many"}, "one GPU in fp32"),
        ({"device": "mps", "ranks": 2, "precision": "fp32"}, "2 mps devices in fp32"),
    ],
)
def test_devices_are_those_that_computed_and_not_those_of_the_report(
    run_copy: Path, account: Account, facts: dict[str, Any], device: str
) -> None:
    change(run_copy, "pretrain", **facts)
    told = trained_on(moved(run_copy, account))
    assert len(told) == len(account.recipe.train)
    assert told[0].startswith("pretrain: ") and told[0].endswith(f"computed on {device}")
    assert told[1].endswith("computed on the processor in fp32")


def test_the_machine_is_that_of_training_also_where_the_report_was_made_on_another(account: Account) -> None:
    elsewhere = moved(account.run, account)
    report = replace(account.manifests["report"], environment={"processor": "Reporter", "cores": 999})
    elsewhere.manifests["report"] = report
    assert elsewhere.last.environment["cores"] == 999, "the report was finished last"
    assert trained_on(elsewhere) == trained_on(account)


def test_a_stage_that_went_on_elsewhere_names_both(run_copy: Path, account: Account) -> None:
    with (run_copy / "pretrain" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10, "event": "resume", "device": "cuda", "ranks": 2, "precision": "bf16"}) + "\n")
    assert trained_on(moved(run_copy, account))[0].endswith("computed on the processor in fp32, then on 2 GPUs in bf16")
