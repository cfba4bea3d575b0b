"""The bill of materials, checked by the official schema and against the artifacts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.release.account import Account
from pellucid.release.bom import bill_of_materials, check_bom
from pellucid.release.packages import Closure
from pellucid.release.spent import Spent

pytest.importorskip("cyclonedx")
SPENT = Spent([], {}, 30.0, 11.55, "measured; 0.385 kg CO2e per kWh")


@pytest.fixture(scope="module")
def bom(account: Account, closure: Closure) -> dict[str, Any]:
    return bill_of_materials(account, closure, SPENT)


def components(bom: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in bom["components"] if one["type"] == kind}


def test_it_fits_the_official_schema_strictly(bom: dict[str, Any]) -> None:
    check_bom(bom)
    for spoilt in (bom | {"bomFormat": "SPDX"}, bom | {"unknown": 1}, bom | {"serialNumber": "no uuid"}):
        with pytest.raises(ArtifactError, match="schema of CycloneDX"):
            check_bom(spoilt)


def test_it_is_the_same_each_time_and_another_for_other_files(
    bom: dict[str, Any], account_of: Callable[..., Account], account: Account, closure: Closure
) -> None:
    assert bill_of_materials(account, closure, SPENT) == bom
    other = bill_of_materials(account_of(account.run, without=("documents",)), closure, SPENT)
    assert other["serialNumber"] != bom["serialNumber"]
    assert bom["metadata"]["timestamp"] == account.finished_at


def test_the_model_has_its_card_with_data_scores_and_energy(bom: dict[str, Any], account: Account) -> None:
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model" and model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    card = model["modelCard"]
    refs = {one["bom-ref"] for one in bom["components"]}
    assert {one["ref"] for one in card["modelParameters"]["datasets"]} <= refs
    first = card["quantitativeAnalysis"]["performanceMetrics"][0]
    assert float(first["value"]) == account.heldout["bits_per_byte"]["total"]["model"]
    assert first["slice"] == f"checkpoint pretrain/step-{account.heldout['checkpoint']['step']}, held-out text"
    assert {"name": "pellucid:exported-checkpoint", "value": account.shipped} in card["properties"]
    label = next(iter(account.results.values()))["subject"]["label"]
    assert any(one["slice"].startswith(f"{label}, ") for one in card["quantitativeAnalysis"]["performanceMetrics"])
    (energy,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    assert energy["activityEnergyCost"]["value"] == 30.0
    assert energy["co2CostEquivalent"]["value"] == pytest.approx(0.01155)


def test_without_known_energy_none_is_stated(account: Account, closure: Closure) -> None:
    bom = bill_of_materials(account, closure, Spent([]))
    check_bom(bom)
    assert "environmentalConsiderations" not in bom["metadata"]["component"]["modelCard"]["considerations"]


def test_sources_have_licences_and_files_of_exports_their_digests(bom: dict[str, Any], account: Account) -> None:
    data = components(bom, "data")
    assert data["enwiki-sample.en"]["licenses"] == [{"license": {"id": "CC-BY-SA-3.0"}}]
    assert data["self_knowledge"]["licenses"] == [{"license": {"id": "Apache-2.0"}}], "what the run wrote itself"
    assert data["human-rights.fr"]["licenses"] == [{"expression": "MIT AND LicenseRef-public-domain"}]
    files = components(bom, "file")
    outputs = read_manifest(account.run / "exports").outputs
    assert {name: one["hashes"][0]["content"] for name, one in files.items()} == {
        f"exports/{name}": output["sha256"] for name, output in outputs.items() if name != "export.json"
    }


def test_every_package_is_a_component_and_every_reference_leads_to_one(bom: dict[str, Any], closure: Closure) -> None:
    libraries = components(bom, "library")
    assert libraries.keys() == {package.name for package in closure.others}
    assert libraries["torch"]["purl"].startswith("pkg:pypi/torch@2")
    refs = [one["bom-ref"] for one in bom["components"]] + [bom["metadata"]["component"]["bom-ref"]]
    assert len(refs) == len(set(refs))
    assert {need for one in bom["dependencies"] for need in one["dependsOn"]} <= set(refs)
    assert {one["ref"] for one in bom["dependencies"]} <= set(refs)


def test_licences_in_words_and_mixed_ones_still_fit(account: Account, closure: Closure, finished_run: Path) -> None:
    from pellucid.release.sources import ReleasedSource

    odd = ReleasedSource("odd", ("documents/odd",), {"by leave of the author": 1, "MIT": 2}, ())
    text = account.recipe.sources[0].model_copy(update={"name": "odd"})
    recipe = account.recipe.model_copy(update={"sources": (*account.recipe.sources, text)})
    bom = bill_of_materials(Account(finished_run, recipe, [*account.sources, odd], account.selection), closure, SPENT)
    check_bom(bom)
    assert components(bom, "data")["odd"]["licenses"] == [{"license": {"name": "MIT; by leave of the author"}}]


def test_a_model_that_training_began_from_is_an_ancestor(account: Account, closure: Closure) -> None:
    first, *rest = account.recipe.train
    release = account.recipe.release.model_copy(update={"base_model": "someone/base"})
    train = (first.model_copy(update={"init_from": "models/base.gguf"}), *rest)
    recipe = account.recipe.model_copy(update={"train": train, "release": release})
    bom = bill_of_materials(Account(account.run, recipe, account.sources, account.selection), closure, SPENT)
    check_bom(bom)
    assert bom["metadata"]["component"]["pedigree"]["ancestors"][0]["name"] == "someone/base"
