"""The openness class of a release by the Model Openness Framework 1.0: from what is in it, and under which licences.

White et al. 2024 (arXiv 2403.13784) and its reference tool, whose table `mof.yaml` is. A class is reached when every component that
it and the classes below require is there under a licence that is open for its kind; an open research paper stands for a technical
report. The paper takes any licence for datasets; its tool does not, and neither is it done here: a source that is not open is named
and keeps the release from class I.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from pellucid.release.account import Account
from pellucid.release.licences import standing
from pellucid.release.packages import OWN, Closure
from pellucid.release.sources import ReleasedSource

__all__ = ["OPENNESS", "Component", "classify", "framework", "openness"]

OPENNESS = "openness.json"


@dataclass(frozen=True)
class Component:
    """One component of the framework: whether it is in the release, where, its licence, and whether that is open for its kind."""

    id: str
    name: str
    class_: int
    kind: str
    required: bool
    present: bool
    where: str
    licence: str | None
    open: bool
    remark: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is there and open."""
        return self.present and self.open

    def as_json(self) -> dict[str, Any]:
        """Return the entry of `openness.json`."""
        values = asdict(self)
        return {"class": values.pop("class_"), **values}


@dataclass(frozen=True)
class _Finding:
    present: bool
    where: str
    licence: str | None
    remark: str = ""
    # Where one licence does not say it: every source must be open.
    open: bool | None = None


@cache
def framework() -> dict[str, Any]:
    """Return the table of the framework."""
    table: dict[str, Any] = yaml.safe_load(files("pellucid.release").joinpath("mof.yaml").read_text(encoding="utf-8"))
    return table


def openness(account: Account, closure: Closure, *, code: bool) -> dict[str, Any]:
    """Return the contents of `openness.json`: every component, the class, and what the next class lacks.

    `code`: the release holds Pellucid's source. Raises `MissingExtraError` without license-expression.
    """
    components = [_component(row, _FIND[row["id"]](account, closure, code)) for row in framework()["components"]]
    return classify(components) | {"components": [one.as_json() for one in components]}


def classify(components: Sequence[Component]) -> dict[str, Any]:
    """Return the class that the components reach (None for none), and which required ones the next class lacks, with the reason."""
    table = framework()
    counted = {one.id for one in components if one.counts}
    counted |= {row["id"] for row in table["components"] if row.get("instead") in counted}

    def lacking(wanted: int) -> list[Component]:
        return [one for one in components if one.required and one.class_ >= wanted and one.id not in counted]

    reached = min((wanted for wanted in (3, 2, 1) if not lacking(wanted)), default=None)
    following = 3 if reached is None else reached - 1 if reached > 1 else None
    return {
        "schema_version": 1,
        "framework": {"name": table["framework"], "version": table["version"], "sources": table["sources"]},
        "class": reached,
        "class_name": table["classes"][reached] if reached else "Unclassified",
        "next_class_name": table["classes"][following] if following else None,
        "missing_for_next": [{"component": one.name, "why": _why(one)} for one in lacking(following)] if following else [],
    }


def _why(component: Component) -> str:
    if not component.present:
        return component.remark or "is not in the release"
    if component.remark:
        return component.remark
    if component.licence is None:
        return "has no licence (release.licence in the recipe, or --set release.licence=…)"
    return f"is under {component.licence}, which is not open for {component.kind}"


def _component(row: dict[str, Any], found: _Finding) -> Component:
    allowed = standing(found.licence)
    opened = found.open if found.open is not None else (allowed.code if row["kind"] == "code" else allowed.content)
    return Component(
        row["id"],
        row["name"],
        row["class"],
        row["kind"],
        row["required"],
        found.present,
        found.where if found.present else "",
        found.licence,
        found.present and opened,
        found.remark,
    )


def _of_code(where: str) -> Callable[[Account, Closure, bool], _Finding]:
    def find(account: Account, closure: Closure, code: bool) -> _Finding:
        return _Finding(code, where, closure.packages[OWN].licence, "" if code else "the code was left out (--without code)")

    return find


def _of_files(patterns: Sequence[str], where: str, remark: str, *, of_texts: bool) -> Callable[[Account, Closure, bool], _Finding]:
    def find(account: Account, closure: Closure, code: bool) -> _Finding:
        present = any(account.selection.has(pattern) for pattern in patterns)
        licence = account.text_licence if of_texts else account.recipe.release.licence
        return _Finding(present, where, licence, "" if present else remark)

    return find


def _written(where: str) -> Callable[[Account, Closure, bool], _Finding]:
    def find(account: Account, closure: Closure, code: bool) -> _Finding:
        return _Finding(True, where, account.text_licence)

    return find


def _paper(account: Account, closure: Closure, code: bool) -> _Finding:
    release = account.recipe.release
    remark = "" if release.paper else "no research paper is named (release.paper in the recipe)"
    return _Finding(release.paper is not None, release.paper or "", release.paper_licence, remark)


def _intermediate(account: Account, closure: Closure, code: bool) -> _Finding:
    last = account.recipe.train[-1].name
    manifest = account.manifests.get(last)
    final = f"{last}/{manifest.summary.get('checkpoint', '')}/" if manifest else ""
    held = [name for name in account.selection.files if "/checkpoints/" in name and name.split("/")[-1].startswith("model")]
    held += [name for name in account.selection.files if "/checkpoints/" in name and "/model/" in name]
    earlier = sorted({name.rpartition("/")[0] for name in held if not name.startswith(final or "\0")})
    remark = "" if earlier else "no checkpoint before the last is in the release (--checkpoints all)"
    return _Finding(bool(earlier), ", ".join(earlier), account.recipe.release.licence, remark)


def _datasets(account: Account, closure: Closure, code: bool) -> _Finding:
    found = _texts(account, account.sources, "train")
    if account.base is None:
        return found
    told = f"what {account.base}, from which training began, was trained on is not in the release"
    return replace(found, present=False, remark="; ".join(filter(None, (told, found.remark))))


def _evaluation_data(account: Account, closure: Closure, code: bool) -> _Finding:
    documents = [source for source in account.sources if source.is_text]
    return _texts(account, documents or account.sources, "heldout")


def _texts(account: Account, sources: Sequence[ReleasedSource], split: str) -> _Finding:
    """Whether texts of all sources are there, each under open licences only; those that are not are named."""
    used = [source for source in sources if source.licences]
    absent = [one for one in used if not account.holds(one, split) and _had(account, one, split)]
    closed = {one.name: one.licences_that("closed") for one in used if one.licences_that("closed")}
    told = [f"{one.name} is left out" for one in absent]
    for one in used:
        if one.name in closed:
            names = ", ".join(licence or "no licence stated" for licence in closed[one.name][:3])
            kind = "for non-commercial use only" if one.licences_that("non_commercial") else "not open"
            told.append(f"{one.name} is {kind} ({names})")
    every = sorted({licence for one in used for licence in one.licences if licence})
    together = " AND ".join(f"({one})" if " " in one else one for one in every) or None
    where = f"{'documents' if any(one.is_text for one in used) else 'conversations'}/*/{split}"
    remark = "; ".join(told) or ("" if used else "the run has no sources of text")
    return _Finding(bool(used) and not absent, where, together, remark, open=bool(used) and not closed)


def _had(account: Account, source: ReleasedSource, split: str) -> bool:
    return any(one.path.startswith(f"{source.folders[0]}/{split}/") for one in account.selection.left_out)


def _libraries(account: Account, closure: Closure, code: bool) -> _Finding:
    closed = [one.name for one in closure.others if not standing(one.licence).code]
    remark = (
        f"no OSI-approved licence is known of {', '.join(closed[:8])}{' and others' if len(closed) > 8 else ''}" if closed else ""
    )
    return _Finding(True, "packages.lock", None, remark, open=not closed)


_FIND: dict[str, Callable[[Account, Closure, bool], _Finding]] = {
    "architecture": _of_code("code/pellucid/model"),
    "final_parameters": _of_files(
        ("exports/*/*", "*/checkpoints/*/model*"), "exports", "no weights are in the release", of_texts=False
    ),
    "model_card": _written("README.md"),
    "data_card": _written("data-cards"),
    "technical_report": _of_files(("report/index.html",), "report/index.html", "the run has no report", of_texts=True),
    "evaluation_results": _of_files(
        ("scores/heldout.json", "benchmarks/**/result.json", "evals/**/result.json"),
        "scores",
        "the run has no scores",
        of_texts=True,
    ),
    "sample_outputs": _of_files(("*/samples.jsonl",), "*/samples.jsonl", "no samples are in the release", of_texts=True),
    "training_code": _of_code("code/pellucid/train"),
    "inference_code": _of_code("code/pellucid/generate"),
    "evaluation_code": _of_code("code/pellucid/evals"),
    "evaluation_data": _evaluation_data,
    "libraries": _libraries,
    "paper": _paper,
    "datasets": _datasets,
    "preprocessing_code": _of_code("code/pellucid/documents"),
    "intermediate_parameters": _intermediate,
    "metadata": _of_files(("*/manifest.json",), "recipe.resolved.yaml, */manifest.json", "", of_texts=True),
}
