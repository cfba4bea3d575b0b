"""The Croissant description of a release's documents: that of the run, without the files that the release leaves out."""

from collections.abc import Container
from pathlib import Path
from typing import Any

from pellucid.core.files import write_json
from pellucid.release.account import Account
from pellucid.report.croissant import CROISSANT, croissant

__all__ = ["described", "write_dataset"]


def write_dataset(account: Account, out: Path) -> list[str]:
    """Write `out/croissant.json`, whose paths are relative to it; return its path, nothing where the run has no documents."""
    if not account.recipe.sources:
        return []
    write_json(out / CROISSANT, described(croissant(account.run, account.recipe), account.selection.files))
    return [CROISSANT]


def described(document: dict[str, Any], files: Container[str]) -> dict[str, Any]:
    """Return the description with only those files that are in `files`, and only the splits that have any left."""

    kept = [one for one in document["distribution"] if one["@type"] != "cr:FileObject" or one["contentUrl"] in files]
    left = {one["contentUrl"].split("/")[2] for one in kept if one["@type"] == "cr:FileObject"}
    gone = {one["@id"].removesuffix("-files") for one in kept if one["@type"] == "cr:FileSet"} - left
    return document | {
        "distribution": [one for one in kept if one["@type"] == "cr:FileObject" or one["@id"].removesuffix("-files") not in gone],
        "recordSet": [one for one in document["recordSet"] if one["@id"] not in gone],
    }
