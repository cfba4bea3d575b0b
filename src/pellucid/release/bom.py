"""The bill of materials: the model with its card, the data it was trained on, its files, and the software, as CycloneDX 1.6 JSON.

CycloneDX 1.6 (cyclonedx.org/docs/1.6/json, ECMA-424), validated against its official schema as cyclonedx-python-lib ships it. That
library has no classes for model cards, so the document is written here and only checked by it.
"""

import uuid
from typing import Any
from urllib.parse import quote

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.files import json_bytes
from pellucid.release.account import Account
from pellucid.release.licences import names_in
from pellucid.release.packages import OWN, Closure, Package
from pellucid.release.sources import ReleasedSource
from pellucid.release.spent import Spent

__all__ = ["BOM", "bill_of_materials", "check_bom"]

BOM = "bom.cdx.json"
_MODEL = "model"


def bill_of_materials(account: Account, closure: Closure, spent: Spent) -> dict[str, Any]:
    """Return the document. Its serial number is made from the run's identity and the files, its time from the artifacts."""
    release = account.recipe.release
    held = sorted(f"{name} {(known or {}).get('sha256', '')}" for name, known in account.selection.files.items())
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"pellucid:{account.identity}:{'|'.join(held)}")
    data = [_data(account, source) for source in account.sources]
    files = [_file(name, known) for name, known in sorted(account.selection.files.items()) if known and _is_export(name)]
    libraries = [_library(package) for package in closure.packages.values()]
    model: dict[str, Any] = {
        "bom-ref": _MODEL,
        "type": "machine-learning-model",
        "name": account.recipe.name,
        "version": account.identity[:12],
        "description": account.recipe.description or account.recipe.name,
        **({"licenses": _licences(release.licence)} if release.licence else {}),
        **({"pedigree": {"ancestors": [{"type": "machine-learning-model", "name": account.base}]}} if account.base else {}),
        **({"supplier": {"name": release.author}} if release.author else {}),
        **({"externalReferences": [{"type": "website", "url": release.url}]} if release.url else {}),
        "modelCard": _card(account, spent),
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": account.finished_at,
            "tools": {"components": [{"type": "application", "name": OWN, "version": closure.packages[OWN].version}]},
            "component": model,
        },
        "components": [*data, *files, *libraries],
        "dependencies": [
            {"ref": _MODEL, "dependsOn": sorted({*(one["bom-ref"] for one in data), _ref(closure.packages[OWN])})},
            *({"ref": one["bom-ref"], "dependsOn": [_MODEL]} for one in files),
            *(
                {"ref": _ref(package), "dependsOn": sorted(_ref(closure.packages[need]) for need in package.needs)}
                for package in closure.packages.values()
            ),
        ],
    }


def check_bom(document: dict[str, Any]) -> None:
    """Raise `ArtifactError` when the document does not fit the official schema, `MissingExtraError` without its checker."""
    try:
        from cyclonedx.exception import MissingOptionalDependencyException
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError as error:
        raise MissingExtraError("cyclonedx-python-lib", "release", "The bill of materials") from error
    try:
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json_bytes(document).decode())
    except MissingOptionalDependencyException as error:
        raise MissingExtraError("jsonschema", "release", "The bill of materials") from error
    if fault is not None:
        raise ArtifactError(f"{BOM} does not fit the schema of CycloneDX 1.6: {str(fault)[:500]}")


def _is_export(name: str) -> bool:
    return name.startswith("exports/") and name != "exports/export.json"


def _file(name: str, known: dict[str, Any]) -> dict[str, Any]:
    return {"bom-ref": f"file:{name}", "type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": known["sha256"]}]}


def _licences(expression: str | None) -> list[dict[str, Any]]:
    """Return an identifier of the SPDX list as such, expressions as such, other words as a name."""
    from cyclonedx.spdx import is_supported_id

    if not expression:
        return []
    if is_supported_id(expression):
        return [{"license": {"id": expression}}]
    names = names_in(expression)
    # An exception behind WITH is on a list of its own, which the library does not have.
    stated = bool(names) and (" WITH " in expression or all(one.startswith("LicenseRef-") or is_supported_id(one) for one in names))
    return [{"expression": expression}] if stated and " " in expression else [{"license": {"name": expression}}]


def _ref(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='.')}"


def _library(package: Package) -> dict[str, Any]:
    return {
        "bom-ref": _ref(package),
        "type": "application" if package.name == OWN else "library",
        "name": package.name,
        "version": package.version,
        "purl": _ref(package),
        **({"licenses": _licences(package.licence)} if package.licence else {}),
        **({"properties": [{"name": "pellucid:record", "value": package.record}]} if package.record else {}),
    }


def _data(account: Account, source: ReleasedSource) -> dict[str, Any]:
    config = account.config_of(source)
    taken = account.consumed.get(source.key)
    held = not source.why_kept_back and account.holds(source, "train")
    licence = account.text_licence if source.kind == "written" else _together(source)
    properties = {
        "pellucid:read-from": (config.path or config.hub or "") if config else f"written by the stage {source.name}",
        "pellucid:tokens-trained-on": str(taken.tokens) if taken else "0",
        "pellucid:released": "yes" if held else "no",
        "pellucid:licences-of-records": "; ".join(f"{name or 'none stated'}: {count}" for name, count in source.licences.items()),
    }
    return {
        "bom-ref": _data_ref(source),
        "type": "data",
        "name": source.name,
        **({"licenses": _licences(licence)} if licence else {}),
        "data": [
            {
                "type": "dataset",
                "name": source.name,
                "classification": "public" if held else "not released",
                "description": f"See {source.card}.",
                "governance": {"stewards": [{"organization": {"name": account.recipe.release.author or "not stated"}}]},
            }
        ],
        "properties": [{"name": name, "value": value} for name, value in properties.items() if value],
    }


def _data_ref(source: ReleasedSource) -> str:
    return f"data:{source.kind}/{source.name}"


def _together(source: ReleasedSource) -> str | None:
    """All licences of a source's records as one expression, or what they say in words."""
    named = [name for name in source.licences if name]
    if len(named) == 1:
        return named[0]
    known = all(source.standing_of(name).known for name in named)
    if not named:
        return None
    return " AND ".join(f"({name})" if " " in name else name for name in sorted(named)) if known else "; ".join(sorted(named))


def _card(account: Account, spent: Spent) -> dict[str, Any]:
    recipe, release = account.recipe, account.recipe.release
    limits = [*release.limits, "Not tested for bias, toxicity or safety."]
    return {
        "modelParameters": {
            "approach": {"type": "self-supervised" if recipe.text_stages else "supervised"},
            "task": "text-generation",
            "architectureFamily": "transformer",
            "modelArchitecture": f"decoder of {recipe.model.layers} layers, width {recipe.model.hidden}",
            "datasets": [{"ref": _data_ref(source)} for source in account.sources],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "properties": [{"name": "pellucid:parameters", "value": str(account.parameters)}, *_shipped(account)],
        "quantitativeAnalysis": {"performanceMetrics": _metrics(account)},
        "considerations": {
            **({"useCases": [release.intended_use]} if release.intended_use else {}),
            "technicalLimitations": limits,
            **_environment(spent),
        },
    }


def _shipped(account: Account) -> list[dict[str, str]]:
    """The checkpoint that is exported: scores name their own, which may be another."""
    return [{"name": "pellucid:exported-checkpoint", "value": account.shipped}] if account.exports and account.shipped else []


def _metrics(account: Account) -> list[dict[str, Any]]:
    found = []
    scores = account.heldout.get("bits_per_byte")
    if scores:
        text = f"checkpoint {account.scored}, held-out text"
        found.append({"type": "bits_per_byte", "value": repr(scores["total"]["model"]), "slice": text})
        for code, one in sorted(scores.get("by_language", {}).items()):
            found.append({"type": "bits_per_byte", "value": repr(one["model"]), "slice": f"{text}, {code}"})
    for result in account.results.values():
        for task, entry in sorted(result["tasks"].items()):
            for metric, value in sorted(entry["metrics"].items()):
                if value.get("value") is not None:
                    of = f"{result['subject']['label']}, {result['suite']}: {task}"
                    told: dict[str, Any] = {"type": metric, "value": repr(value["value"]), "slice": of}
                    if value.get("low") is not None:
                        told["confidenceInterval"] = {"lowerBound": repr(value["low"]), "upperBound": repr(value["high"])}
                    found.append(told)
    return found


def _environment(spent: Spent) -> dict[str, Any]:
    if spent.kwh is None or spent.kg_co2e is None:
        return {}
    measure = {"value": spent.kwh, "unit": "kWh"}
    provider = {
        "description": spent.how,
        "organization": {"name": "not stated"},
        "energySource": "unknown",
        "energyProvided": measure,
    }
    consumption = {
        "activity": "training",
        "energyProviders": [provider],
        "activityEnergyCost": measure,
        "co2CostEquivalent": {"value": spent.kg_co2e / 1000, "unit": "tCO2eq"},
    }
    return {"environmentalConsiderations": {"energyConsumptions": [consumption]}}
