"""The packages that a run used: the versions that its manifests recorded, and all that those installed here depend on."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import metadata
from typing import Any

from pellucid.core.errors import MissingExtraError
from pellucid.recipe.recipe import Recipe

__all__ = ["OWN", "Closure", "Package", "closure_of", "extras_used", "lock_text"]

OWN = "pellucid"
# Files of an installation that differ from machine to machine.
_OF_THE_MACHINE = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
# Builds of torch and its companions, behind the + of a version.
_TORCH_BUILD = re.compile(r"\+(cpu|xpu|cu\d+|rocm[\d.]+)$")


@dataclass(frozen=True)
class Package:
    """One distribution: its name in normal form, the version that the run used, and what it needs directly.

    `record` is the digest of its files as its wheel lists them; None when it is not installed here in this version.
    """

    name: str
    version: str
    licence: str | None
    needs: tuple[str, ...]
    record: str | None


@dataclass(frozen=True)
class Closure:
    """All packages by name, Pellucid first, and where manifests recorded another version than is installed here."""

    packages: dict[str, Package]
    differences: list[dict[str, str]]

    @cached_property
    def others(self) -> list[Package]:
        """All packages but Pellucid itself, by name."""
        return [package for name, package in sorted(self.packages.items()) if name != OWN]


def extras_used(recipe: Recipe) -> set[str]:
    """Return the extras of Pellucid that a recipe's stages use."""
    of_format = {"hf": "hf", "gguf": "gguf", "mlx": "mlx", "openvino": "openvino", "torchao": "quant", "bitsandbytes": "quant"}
    of_vocabulary = {"arcade100k": "arcade", "huggingface": "huggingface", "sentencepiece": "sentencepiece", "gguf": "gguf"}
    used = {"report", *(of_format[name] for name in recipe.export.formats if name in of_format)}
    used |= {of_vocabulary[recipe.tokenizer.kind]} if recipe.tokenizer.kind in of_vocabulary else set()
    inputs = (*recipe.sources, *recipe.conversations)
    used |= {"hub"} if any(one.hub for one in inputs) else set()
    used |= {"remote"} if any(one.path and "://" in one.path for one in inputs) else set()
    used |= {"web"} if any(source.html for source in recipe.sources) else set()
    used |= {"clean"} if recipe.documents.clean or any(source.clean for source in recipe.sources) else set()
    used |= {"eval"} if recipe.evaluate.benchmarks else set()
    return used | ({"cluster"} if recipe.documents.engine == "ray" else set())


def closure_of(recorded: Mapping[str, Sequence[str]], extras: Iterable[str]) -> Closure:
    """Return Pellucid, what it needs with these extras, the recorded packages, and all that those need in turn.

    `recorded` has the versions of each package in manifests, the newest last; those are what the run used. Raises
    `MissingExtraError` without the package packaging.
    """
    try:
        from packaging.requirements import Requirement
    except ImportError as error:
        raise MissingExtraError("packaging", "release", "The lock of packages") from error
    found: dict[str, Package] = {}
    differences = []
    versions = {_normal(name): list(dict.fromkeys(seen)) for name, seen in recorded.items()}
    queue: list[tuple[str, frozenset[str]]] = [(OWN, frozenset(extras)), *((name, frozenset[str]()) for name in sorted(versions))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while queue:
        name, wanted = queue.pop(0)
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name in versions:
                found[name] = Package(name, versions[name][-1], None, (), None)
                differences.append(_difference(name, versions[name], "none"))
            continue
        needs = set(found[name].needs) if name in found else set()
        for text in installed.requires or ():
            need = Requirement(text)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in (*sorted(wanted), "")):
                needs.add(_normal(need.name))
                queue.append((_normal(need.name), frozenset(need.extras)))
        if name not in found and name in versions and set(versions[name]) != {installed.version}:
            differences.append(_difference(name, versions[name], installed.version))
        version = versions[name][-1] if name in versions else installed.version
        record = _record_digest(installed) if version == installed.version else None
        found[name] = Package(name, version, _licence(installed), tuple(sorted(needs)), record)
    # An extra's packages may be absent, as those of other systems are.
    whole = {n: Package(p.name, p.version, p.licence, tuple(x for x in p.needs if x in found), p.record) for n, p in found.items()}
    return Closure(whole, sorted(differences, key=lambda one: one["package"]))


def _difference(name: str, recorded: Sequence[str], installed: str) -> dict[str, str]:
    return {"package": name, "recorded": ", ".join(recorded), "installed": installed}


def lock_text(closure: Closure, python: str) -> str:
    """Return the lock as pip reads it: `name==version` a line, and the digest of the installed files as a comment."""
    lines = [
        "# Every package that the run used, with what they need in turn. Install with: pip install --requirement packages.lock",
        f"# Python {python}. record: SHA-256 over what the package's wheel lists of its files, to compare with; pip",
        "# does not read it. Builds of torch (2.13.0+cpu) lie in PyTorch's own index; other versions with + are of unknown origin.",
        *_indices(closure),
    ]
    for package in closure.others:
        known = f"record: {package.record}" if package.record else "not installed where the release was made"
        lines.append(f"{package.name}=={package.version}  # {known}")
    return "\n".join(lines) + "\n"


def _indices(closure: Closure) -> list[str]:
    """Options for the indices of PyTorch that hold the builds of the lock: the default index has none of them."""
    builds = {build[1] for package in closure.others if (build := _TORCH_BUILD.search(package.version))}
    return [f"--extra-index-url https://download.pytorch.org/whl/{build}" for build in sorted(builds)]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _record_digest(installed: metadata.Distribution) -> str | None:
    """Digest of name, digest and size of every file of the wheel; None when the installation has no list of them."""
    text = installed.read_text("RECORD")
    if not text:
        return None
    rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == 3 and row[1]]
    kept = sorted(row for row in rows if not row[0].startswith("..") and row[0].rpartition("/")[2] not in _OF_THE_MACHINE)
    return sha256("\n".join(",".join(row) for row in kept).encode()).hexdigest()


def _licence(installed: metadata.Distribution) -> str | None:
    """Return the SPDX expression or the words that a package states its licence in; None when it states none."""
    about: Any = installed.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    trove = [line.rpartition("::")[2].strip() for line in about.get_all("Classifier", []) if line.startswith("License ::")]
    named = [_OF_TROVE.get(line, line) for line in trove if line != "OSI Approved"]
    said = str(about.get("License") or "").strip()
    # Some packages put the whole text of their licence there.
    short = said if said and len(said) < 60 and "\n" not in said else None
    return _OF_TROVE.get(short or "", short) or (" AND ".join(sorted(set(named))) if named else None)


_OF_TROVE = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "BSD 3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "The MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
}
