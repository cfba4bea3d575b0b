"""Raw sources → `documents/`: every record kept, held out or dropped by reason, and counted."""

from pellucid.core.artifacts import Build, Key
from pellucid.core.units import format_bytes, format_count
from pellucid.documents.pieces import input_digests
from pellucid.documents.prepare import prepare_documents
from pellucid.stages.stage import Context, Stage

__all__ = ["DOCUMENTS"]


def _key(context: Context) -> Key:
    recipe, base = context.recipe, context.loaded.base
    sources = [
        source.model_dump(mode="json", exclude={"weight", "epochs", "max_epochs", "available_tokens", "category"})
        for source in recipe.sources
    ]
    config = {"sources": sources, **recipe.documents.model_dump(mode="json", exclude={"workers"})}
    return Key("documents", 1, 0, config, input_digests(recipe.sources, base))


def _build(context: Context, build: Build) -> str:
    recipe = context.recipe
    funnel = prepare_documents(recipe.sources, context.loaded.base, recipe.documents, build.path).as_json()["sources"]
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
