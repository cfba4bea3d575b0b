"""Data cards: a page of Markdown for every source, with what became of its records and what training took of it."""

from pathlib import Path
from typing import Any

from pellucid.core.files import write_bytes
from pellucid.core.units import format_bytes
from pellucid.recipe.cleaning import PiiStep
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.data import SourceConfig
from pellucid.release.account import Account
from pellucid.release.markdown import cell, listed, number, plain, table
from pellucid.release.sources import ReleasedSource

__all__ = ["card_of", "write_data_cards"]

_KINDS = {"documents": "documents", "conversations": "conversations or pairs", "written": "examples that the model wrote itself"}


def write_data_cards(account: Account, out: Path) -> list[str]:
    """Write a card for every source into `out/data-cards/`, of other kinds than documents as `KIND-NAME.md`; return their paths."""
    written = []
    for source in account.sources:
        write_bytes(out / source.card, card_of(account, source).encode())
        written.append(source.card)
    return written


def card_of(account: Account, source: ReleasedSource) -> str:
    """Return the card of one source."""
    recipe = account.recipe
    config = account.config_of(source)
    funnel = account.funnels.get(source.key, {})
    parts = [
        f"# {plain(source.name)}\n",
        f"Data card of a source of the model {plain(recipe.name)}; see also the [model card](../README.md).\n",
        table(("", ""), _what(account, source, config)),
        "## Licences\n",
        table(
            ("Licence", "Records", "Open data", "May be passed on"),
            [
                (name or "none stated", number(count), _yes(allowed.content), _yes(allowed.shareable))
                for name, count in source.licences.items()
                for allowed in (source.standing_of(name),)
            ],
            right=(1,),
        )
        or _without_records(account, source),
        f"{plain(source.why_kept_back[:1].upper() + source.why_kept_back[1:])}. They are left out of this release.\n"
        if source.why_kept_back
        else "",
        "## What became of its records\n",
        table(("Outcome", "Records", "Text"), _outcomes(funnel), right=(1, 2)) or "Nothing is recorded.\n",
        _edits(funnel),
        "## What training took\n",
        _taken(account, source),
        "## Personal data\n",
        _personal(account, source, config),
        "## Known limits\n",
        listed(_limits(account, source, config, funnel)),
    ]
    return "\n".join(part for part in parts if part)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _without_records(account: Account, source: ReleasedSource) -> str:
    if source.kind != "written":
        return "No record is left of this source.\n"
    held = account.text_licence
    stated = f"Its examples are under {cell(held)}" if held else "No licence is stated for its examples"
    return f"{stated}, as all else that the run made. They were written from the recipe's own facts and by the model.\n"


def _what(account: Account, source: ReleasedSource, config: SourceConfig | ConversationConfig | None) -> list[tuple[str, object]]:
    kept = source.folders[0] if account.holds(source) else "left out"
    rows: list[tuple[str, object]] = [("Kind", _KINDS[source.kind])]
    if config is None:
        return [*rows, ("Written by", f"the stage {source.name}"), ("In this release", kept)]
    revision = f" at {config.revision}" if config.revision else ""
    rows += [
        ("Read from", f"{config.path or config.hub or 'not recorded'}{revision}"),
        ("Licence in the recipe", config.licence or "that of each record"),
        ("Language in the recipe", config.language or "that of each record"),
    ]
    if isinstance(config, SourceConfig):
        steps = ", ".join(step.step for step in _steps(account, config))
        rows += [("Domain", config.category), ("Cleaning", steps or "none")]
    return [*rows, ("In this release", kept)]


def _steps(account: Account, config: Any) -> tuple[Any, ...]:
    return tuple(account.recipe.documents.clean if config.clean is None else config.clean)


def _outcomes(funnel: dict[str, Any]) -> list[tuple[object, ...]]:
    if "kept" not in funnel:
        return []

    def size(key: str) -> str | None:
        return format_bytes(funnel[key]) if key in funnel else None

    read: list[tuple[object, ...]] = [("read", number(funnel["read"]), size("read_bytes"))] if "read" in funnel else []
    rows = [
        *read,
        ("kept to train on", number(funnel["kept"]), size("kept_bytes")),
        ("held out", number(funnel["heldout"]), size("heldout_bytes")),
    ]
    for reason, amount in funnel.get("dropped", {}).items():
        told = amount if isinstance(amount, dict) else {"documents": amount}
        text = format_bytes(told["bytes"]) if "bytes" in told else None
        rows.append((f"dropped: {reason}", number(told.get("documents", told.get("records"))), text))
    return rows


def _edits(funnel: dict[str, Any]) -> str:
    edits = funnel.get("edits") or {}
    return table(("Edit", "Number"), [(kind, number(count)) for kind, count in edits.items()], right=(1,))


def _taken(account: Account, source: ReleasedSource) -> str:
    taken = account.consumed.get(source.key)
    if taken is None:
        return "No training stage read this source.\n"
    rows = [(stage, number(epochs)) for stage, epochs in taken.epochs.items()]
    return f"{number(taken.tokens)} tokens, by the receipts of the training stages.\n\n" + table(
        ("Stage", "Epochs"), rows, right=(1,)
    )


def _personal(account: Account, source: ReleasedSource, config: Any) -> str:
    if not source.is_text:
        where = "what the model wrote" if source.kind == "written" else "conversations"
        return f"Nothing was looked for or masked in {where}.\n"
    masks = [step for step in _steps(account, config) if isinstance(step, PiiStep)]
    if not masks:
        return "Nothing was looked for or masked: the recipe has no step `pii` for this source.\n"
    settings = ", ".join(f"{name} {value}" for name, value in masks[0].model_dump(exclude={"step"}).items())
    edits = {
        kind: count for kind, count in (account.funnels.get(source.key, {}).get("edits") or {}).items() if kind.startswith("pii")
    }
    counted = ", ".join(f"{number(count)} × {cell(kind)}" for kind, count in edits.items()) or "none was found"
    return (
        f"Masked by the recipe's step `pii` ({cell(settings)}): {counted}. Names and what no pattern matches were not looked for.\n"
    )


def _limits(account: Account, source: ReleasedSource, config: Any, funnel: dict[str, Any]) -> list[str]:
    found = []
    if not funnel.get("kept"):
        found.append("Nothing of it was trained on: no record is left.")
    if closed := source.licences_that("closed"):
        found.append(f"Not open data: {', '.join(cell(name) or 'no licence stated' for name in closed[:5])}.")
    if source.licences_that("non_commercial"):
        found.append("Some of it may not be used commercially.")
    if source.is_text and not _steps(account, config):
        found.append("Its texts were not cleaned: they are as they were read.")
    if source.is_text and account.recipe.documents.decontaminate is None:
        found.append("It was not searched for questions of benchmarks.")
    if config is not None and config.revision is None and config.hub:
        found.append("The revision of the data set is not pinned: what lies there today may be another.")
    found.append("What it says was not checked for truth, bias or offence by people.")
    return found
