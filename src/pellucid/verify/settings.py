"""What a recipe says an artifact's manifest should record, by its kind: taken from the values as they stand in the run's recipe.

Not from the recipe as this version fills it in: an older run has fewer fields, and they are still to agree.
"""

from collections.abc import Mapping
from typing import Any

from pellucid.verify.evidence import Evidence

__all__ = ["expected_settings"]


def expected_settings(evidence: Evidence, folder: str, kind: str) -> dict[str, Any]:
    """Return settings of the recipe under the names that a manifest of this kind gives them; of unknown kinds none."""
    values = evidence.values
    names = [source["name"] for source in values.get("sources", [])]
    if kind == "plan":
        return values
    if kind == "documents":
        return {**values.get("documents", {}), "sources": values.get("sources", [])}
    if kind == "tokenizer":
        return {**values["tokenizer"], "sources": names}
    if kind == "shards":
        fim = {one["name"]: one["fim"] for one in values.get("sources", []) if one.get("fim")}
        return {**values["shards"], "sources": names, **({"fim": fim} if fim else {})}
    if kind == "conversations":
        return {
            "sources": values.get("conversations", []),
            "system": values.get("chat", {}).get("system"),
            "max_bytes": values["documents"]["max_bytes"],
        }
    if kind == "checkpoint_stage":
        return _stage(values, folder)
    if kind == "scores":
        return {**values["evaluate"], "sources": names}
    if kind == "exports":
        return {**values["export"], "name": values["name"]}
    if kind == "benchmarks":
        return _benchmarks(values)
    return {"name": values["name"]} if kind == "report" else {}


def _stage(values: Mapping[str, Any], folder: str) -> dict[str, Any]:
    stage = next((one for one in values.get("train", []) if one["name"] == folder), None)
    if stage is None:
        return {"stage": None}
    return {"stage": stage, "model": values["model"], "chat": {"system": values.get("chat", {}).get("system")}}


def _benchmarks(values: Mapping[str, Any]) -> dict[str, Any]:
    wanted = dict(values["evaluate"].get("benchmarks") or {})
    # Of a judge only who it is: how patiently it is asked, and what it costs, changes no score.
    wanted["settings"] = {name: value for name, value in wanted.get("settings", {}).items() if name != "judge"}
    return wanted
