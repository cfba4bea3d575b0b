from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pellucid.release.account import Account
from pellucid.release.front_matter import front_matter, hub_licence


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("GPL-3.0-or-later", {"license": "gpl-3.0"}),
        (None, {"license": "unknown"}),
        ("EUPL-1.1 OR MIT", {"license": "other", "license_name": "eupl-1.1-or-mit"}),
        ("NASA-1.3", {"license": "other", "license_name": "nasa-1.3", "license_link": "https://spdx.org/licenses/NASA-1.3.html"}),
    ],
)
def test_licences_are_named_as_the_hub_names_them(licence: str | None, expected: dict[str, str]) -> None:
    assert hub_licence(licence) == expected


def test_the_head_has_what_the_hub_reads(account: Account) -> None:
    head = yaml.safe_load(front_matter(account))
    assert (head["license"], head["library_name"], head["pipeline_tag"]) == ("apache-2.0", "transformers", "text-generation")
    assert head["language"] == ["en", "fr", "de"] and {"pellucid", "gguf", "conversational"} <= set(head["tags"])
    (model,) = head["model-index"]
    heldout = model["results"][0]
    (score,) = heldout["metrics"]
    assert score["value"] == account.heldout["bits_per_byte"]["total"]["model"]
    scored, shipped = account.heldout["checkpoint"], account.manifests["self_knowledge"].summary["checkpoint"]
    assert f"of the checkpoint {scored['stage']}/step-{scored['step']};" in score["name"]
    assert f"the exports are of self_knowledge/step-{int(shipped[-8:])}" in score["name"]


def test_data_sets_of_the_hub_are_listed_by_their_names_and_local_ones_are_not(
    account_of: Callable[..., Account], finished_run: Path
) -> None:
    account = account_of(finished_run)
    first, second, *rest = account.recipe.sources
    changed = (
        first.model_copy(update={"hub": "a/b:c", "path": None}),
        second.model_copy(update={"hub": "./x", "path": None}),
        *rest,
    )
    begun = (account.recipe.train[0].model_copy(update={"init_from": "x.gguf"}), *account.recipe.train[1:])
    release = account.recipe.release.model_copy(update={"base_model": "someone/base"})
    recipe = account.recipe.model_copy(update={"sources": changed, "train": begun, "release": release})
    head = yaml.safe_load(front_matter(Account(finished_run, recipe, account.sources, account.selection)))
    assert (head["datasets"], head["base_model"]) == (["a/b"], "someone/base")
