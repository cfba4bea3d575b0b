"""The head of a model card as the Hugging Face hub reads it: licence, languages, data sets, library, tags, results."""

from typing import Any

import yaml

from pellucid.core.excerpt import visible
from pellucid.release.account import Account
from pellucid.release.licences import standing

__all__ = ["front_matter", "hub_licence"]

# Identifiers of the hub (huggingface.co/docs/hub/repositories-licenses) by SPDX identifier, where they are more than lower case.
_SAME = (
    "Apache-2.0 MIT CC0-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0 "
    "CC-BY-NC-4.0 CC-BY-ND-4.0 CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CDLA-Sharing-1.0 "
    "CDLA-Permissive-1.0 CDLA-Permissive-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear ISC MPL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 "
    "EUPL-1.2 ECL-2.0 AFL-3.0 Artistic-2.0 BSL-1.0 LPPL-1.3c MS-PL NCSA OFL-1.1 OSL-3.0 PostgreSQL Unlicense Zlib WTFPL etalab-2.0 "
    "OpenMDW-1.0"
)
_HUB = {name: name.lower() for name in _SAME.split()} | {
    "GPL-2.0-only": "gpl-2.0",
    "GPL-2.0-or-later": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "LGPL-2.1-only": "lgpl-2.1",
    "LGPL-2.1-or-later": "lgpl-2.1",
    "LGPL-3.0-only": "lgpl-3.0",
    "LGPL-3.0-or-later": "lgpl-3.0",
    "AGPL-3.0-only": "agpl-3.0",
    "AGPL-3.0-or-later": "agpl-3.0",
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
}


def hub_licence(licence: str | None) -> dict[str, str]:
    """Return the hub's fields for a licence: its own identifier, else `other` with the name; `unknown` when there is none."""
    if licence is None:
        return {"license": "unknown"}
    if licence in _HUB:
        return {"license": _HUB[licence]}
    link = f"https://spdx.org/licenses/{licence}.html" if standing(licence).known and " " not in licence else ""
    return {"license": "other", "license_name": licence.lower().replace(" ", "-"), **({"license_link": link} if link else {})}


def front_matter(account: Account) -> str:
    """Return the YAML between the two lines of dashes."""
    recipe = account.recipe
    inputs = (*recipe.sources, *recipe.conversations)
    hub = dict.fromkeys(one.hub.partition(":")[0] for one in inputs if one.hub and not one.hub.startswith((".", "/")))
    values: dict[str, Any] = {**hub_licence(recipe.release.licence)}
    if account.languages:
        values["language"] = account.languages
    if recipe.release.base_model and account.base:
        values["base_model"] = recipe.release.base_model
    if hub:
        values["datasets"] = list(hub)
    values |= {"library_name": "transformers" if "hf" in account.exports else "pellucid", "pipeline_tag": "text-generation"}
    tags = ["pellucid", *sorted({name.partition("-")[0] for name in account.exports if name != "hf"})]
    values["tags"] = [*tags, *(["conversational"] if recipe.is_chat else [])]
    results = [*_heldout(account), *_benchmarks(account)]
    if results:
        values["model-index"] = [{"name": recipe.name, "results": results}]
    dumped: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return visible(dumped)


def _heldout(account: Account) -> list[dict[str, Any]]:
    total = account.heldout.get("bits_per_byte", {}).get("total")
    if not total:
        return []
    name = f"{account.recipe.name}: held-out documents"
    of = f"bits per byte of the checkpoint {account.scored}"
    if account.exports and account.shipped != account.scored:
        of += f"; the exports are of {account.shipped}, which was not scored so"
    metrics = [{"type": "bits_per_byte", "value": total["model"], "name": of}]
    return [_result(f"{account.recipe.name}-heldout", name, "heldout", metrics)]


def _benchmarks(account: Account) -> list[dict[str, Any]]:
    found = []
    for result in account.results.values():
        for task, entry in sorted(result["tasks"].items()):
            metrics = [
                {"type": metric, "value": cell["value"], "name": f"{metric} ({result['subject']['label']})"}
                for metric, cell in sorted(entry["metrics"].items())
                if cell.get("value") is not None
            ]
            if metrics:
                found.append(_result(task, f"{task} ({result['suite']})", "test", metrics))
    return found


def _result(kind: str, name: str, split: str, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "task": {"type": "text-generation", "name": "Text generation"},
        "dataset": {"type": kind, "name": name, "split": split},
        "metrics": metrics,
    }
