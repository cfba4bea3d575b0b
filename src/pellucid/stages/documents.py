"""Raw sources → `documents/`: every record kept, held out or dropped by reason, and counted."""

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from pellucid.core.artifacts import Build, Key
from pellucid.core.files import read_json, sha256_file
from pellucid.core.units import format_bytes, format_count
from pellucid.documents.decontamination.files import find_benchmarks, name_benchmarks
from pellucid.documents.files import file_format
from pellucid.documents.pieces import input_digests
from pellucid.documents.prepare import FUNNEL, prepare_documents
from pellucid.recipe.cleaning import LanguageStep, PerplexityStep, UnicodeStep
from pellucid.recipe.recipe import Recipe
from pellucid.stages.stage import Context, Stage

__all__ = ["DOCUMENTS"]


# What decides how documents are sampled, or who does the work, and no byte of them.
_SAMPLING = {"weight", "epochs", "max_epochs", "available_tokens", "category", "fim"}
_SHARING = {"workers", "engine"}


def _key(context: Context) -> Key:
    recipe, base = context.recipe, context.loaded.base
    sources = [source.model_dump(mode="json", exclude=_SAMPLING) for source in recipe.sources]
    config = {"sources": sources, **recipe.documents.model_dump(mode="json", exclude=_SHARING)}
    files = input_digests(recipe.sources, base)
    inputs = {**files, **_digests_of_helpers(recipe, base), **_versions(recipe, files)}
    return Key("documents", 2, recipe.seed if _is_seeded(recipe) else 0, config, inputs)


def _is_seeded(recipe: Recipe) -> bool:
    """Tell whether anything is left to chance, so that another seed gives other documents."""
    return recipe.documents.near_dedup is not None or any(one.select is not None or one.template for one in recipe.sources)


def _digests_of_helpers(recipe: Recipe, base: Path) -> dict[str, str]:
    """Return the digests of what the steps read beside the sources: models and benchmarks."""
    steps = [*recipe.documents.clean, *(step for source in recipe.sources for step in source.clean or ())]
    models = [name for step in steps if isinstance(step, PerplexityStep) for name in (step.model, step.sentencepiece) if name]
    digests = {f"model {name}": sha256_file(base / name) for name in models if (base / name).is_file()}
    if recipe.documents.decontaminate is not None:
        # Number, name and suffix are what the documents hold of a file's place; its path would be another on another machine.
        files = find_benchmarks(recipe.documents.decontaminate.benchmarks, base)
        names = name_benchmarks(files, base)
        for number, (file, name) in enumerate(zip(files, names, strict=True)):
            digests[f"benchmark {number} {name} ({file.name})"] = sha256_file(file)
    return digests


def _versions(recipe: Recipe, files: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that a byte of the documents depends on, of those that the recipe makes use of."""
    used = set()
    for source in recipe.sources:
        for step in recipe.documents.clean if source.clean is None else source.clean:
            if isinstance(step, UnicodeStep) and step.mend_mojibake:
                used.add("ftfy")
            elif isinstance(step, LanguageStep):
                used |= {"eldc", "fasttext-predict"}
            elif isinstance(step, PerplexityStep):
                used |= {"kenlm-ex", "sentencepiece"} if step.sentencepiece else {"kenlm-ex"}
    if any(source.html for source in recipe.sources) or any(file_format(name) == "html" for name in files):
        used.add("trafilatura")
    return {f"package {name}": _version(name) for name in sorted(used)}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "missing"


def _build(context: Context, build: Build) -> str:
    recipe = context.recipe
    if (build.path / FUNNEL).exists():  # all of it is there; a kill came while it was sealed
        funnel = read_json(build.path / FUNNEL)["sources"]
    else:
        base = context.loaded.base
        funnel = prepare_documents(recipe.sources, base, recipe.documents, build.path, recipe.seed).as_json()["sources"]
    total = {
        name: sum(source[name] for source in funnel.values()) for name in ("read", "kept", "kept_bytes", "heldout", "heldout_bytes")
    }
    total["dropped"] = sum(reason["documents"] for source in funnel.values() for reason in source["dropped"].values())
    build.summary.update(total)
    return (
        f"{format_count(total['kept'])} documents of {format_bytes(total['kept_bytes'])} kept, "
        f"{total['heldout']} held out, {total['dropped']} dropped"
    )


DOCUMENTS = Stage("documents", "documents", _key, _build)
