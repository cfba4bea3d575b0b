"""A finished run → a folder to publish: its artifacts, and what people and programs need to judge, use and check them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import sha256_file, write_bytes, write_json
from pellucid.core.progress import progress
from pellucid.core.released import RELEASE, SUMS, write_sums
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.release import ReleaseConfig
from pellucid.release.account import Account
from pellucid.release.bom import BOM, bill_of_materials, check_bom
from pellucid.release.code import code_remark, write_code
from pellucid.release.data_cards import write_data_cards
from pellucid.release.dataset import write_dataset
from pellucid.release.folder import building_release, copy_checked, refuse_place
from pellucid.release.model_card import MODEL_CARD, model_card
from pellucid.release.openness import OPENNESS, openness
from pellucid.release.packages import Closure, closure_of, extras_used, lock_text
from pellucid.release.secrets import private_values, refuse_private, scan
from pellucid.release.selection import select
from pellucid.release.sources import sources_of
from pellucid.release.spent import spent_on
from pellucid.release.stand_ins import write_stand_ins
from pellucid.stages.run_folder import open_recipe
from pellucid.stages.verify import verify_run

__all__ = ["LOCK", "Released", "Wishes", "release_run"]

LOCK = "packages.lock"
_MOST_FAULTS = 5


@dataclass(frozen=True)
class Wishes:
    """What the caller may choose: `settings` are `KEY=VALUE` for the recipe's section `release`, `public` names of values that
    may be published."""

    without: Sequence[str] = ()
    checkpoints: str = "final"
    settings: Sequence[str] = ()
    public: Sequence[str] = ()
    force: bool = False
    allow_faults: bool = False


@dataclass(frozen=True)
class Released:
    """What was released: number and size of the files, what was left out, the openness, faults of the run."""

    folder: Path
    files: int
    bytes: int
    left_out: list[dict[str, Any]]
    openness: dict[str, Any]
    faults: list[str]


def release_run(run: Path, out: Path, wishes: Wishes = Wishes()) -> Released:
    """Write the release of a run, whole or not at all; the run is only read.

    Raises `UsageError` for a place or a wish that cannot be, `ArtifactError` when the run does not verify or private values would
    be published, `MissingExtraError` without the packages of the extra `release`, `DiskFullError`.
    """
    if (run / RELEASE).is_file():
        raise UsageError(f"{run} is a release itself; copy it as it is, or give the run that it was made from")
    recipe = _with_settings(open_recipe(run), wishes.settings)
    sources = sources_of(run, recipe)
    chosen = select(run, recipe, sources, without=wishes.without, checkpoints=wishes.checkpoints)
    account = Account(run, recipe, sources, chosen)
    refuse_place(out.absolute(), run.absolute(), account.identity, force=wishes.force)
    faults = _faults(run, allowed=wishes.allow_faults)
    closure = closure_of(account.package_versions, extras_used(recipe))
    with building_release(out, run, account.identity, force=wishes.force) as part:
        with progress("copy", chosen.copied_bytes, "B") as bar:
            digests = copy_checked(run, part, chosen.files, bar.advance)
        told, written = _write_account(account, closure, part, faults, code="code" not in wishes.without)
        digests |= {name: sha256_file(part / name) for name in written}
        sizes = {name: (part / name).stat().st_size for name in digests}
        with progress("look for private values", sum(sizes.values()), "B") as bar:
            private = [one for one in private_values(os.environ, run) if one.name not in wishes.public]
            refuse_private(scan(part, sorted(digests), private, bar.advance))
        write_sums(part, digests)
    total = sum(sizes.values()) + (out / SUMS).stat().st_size
    return Released(out, len(digests) + 1, total, [one.as_json() for one in chosen.left_out], told, faults)


def _with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Return the recipe with other words about its release; nothing else of a finished run can be set."""
    values: dict[str, Any] = {}
    for text in settings:
        key, sign, value = text.partition("=")
        name = key.removeprefix("release.")
        if not sign or name not in ReleaseConfig.model_fields:
            known = ", ".join(f"release.{field}" for field in ReleaseConfig.model_fields)
            raise UsageError(f"--set: got {text!r}; must be KEY=VALUE with one of {known}")
        values[name] = [part for part in value.split(",") if part] if name in ("limits", "redistribute") else value or None
    try:
        release = ReleaseConfig.model_validate(recipe.release.model_dump() | values)
    except ValidationError as error:
        raise UsageError(f"--set: {error.errors()[0]['msg']}") from error
    return recipe.model_copy(update={"release": release})


def _faults(run: Path, *, allowed: bool) -> list[str]:
    faults = [fault.replace(f"{run}/", "").replace(str(run), "the run") for fault in verify_run(run).faults]
    if faults and not allowed:
        more = f"\n  and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
        raise ArtifactError(
            f"{run} does not verify, so nothing was released:\n  "
            + "\n  ".join(faults[:_MOST_FAULTS])
            + f"{more}\nSee: pellucid verify {run}. With --allow-faults it is released all the same, and the model card says so."
        )
    return faults


def _write_account(
    account: Account, closure: Closure, out: Path, faults: list[str], *, code: bool
) -> tuple[dict[str, Any], list[str]]:
    """Write everything that is not in the run; return the openness and the paths."""
    spent = spent_on(account)
    told = openness(account, closure, code=code)
    remark = code_remark(account.code_versions) if code else ""
    written = [*write_data_cards(account, out), *write_dataset(account, out), *(write_code(out) if code else [])]
    written += write_stand_ins(account.selection, out)
    write_bytes(out / LOCK, lock_text(closure, account.last.environment.get("python", "")).encode())
    write_json(out / OPENNESS, told)
    bom = bill_of_materials(account, closure, spent)
    check_bom(bom)
    write_json(out / BOM, bom)
    card = model_card(account, told, spent, faults=faults, code=code, code_remark=remark)
    write_bytes(out / MODEL_CARD, card.encode())
    write_json(out / RELEASE, _about(account, closure, told, faults, remark))
    return told, [*written, LOCK, OPENNESS, BOM, MODEL_CARD, RELEASE]


def _about(account: Account, closure: Closure, told: dict[str, Any], faults: list[str], remark: str) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "name": account.recipe.name,
        "run": account.identity,
        "finished_at": account.finished_at,
        "release": account.recipe.release.model_dump(mode="json"),
        "openness": told["class_name"],
        "left_out": [one.as_json() for one in account.selection.left_out],
        "kept_back": _kept_back(account),
        "faults": faults,
        "code_versions": account.code_versions,
        "code_remark": remark,
        "package_differences": closure.differences,
    }


def _kept_back(account: Account) -> dict[str, str]:
    """Return why texts stay behind, by source; documents and conversations of one name stand together."""
    found: dict[str, str] = {}
    for one in account.sources:
        if one.why_kept_back:
            found[one.name] = "; ".join(filter(None, (found.get(one.name), one.why_kept_back)))
    return found
