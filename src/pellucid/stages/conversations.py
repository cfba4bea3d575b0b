"""Raw conversations and preference pairs → `conversations/`: each kept, held out or dropped by reason, as ids and targets."""

from hashlib import sha256
from typing import Any

from pellucid.conversations.prepare import FUNNEL, Preparation, prepare_conversations
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import DataError
from pellucid.core.files import read_json
from pellucid.core.processes import available_cores
from pellucid.core.units import format_count
from pellucid.documents.pieces import input_digests
from pellucid.recipe.conversations import ConversationConfig
from pellucid.recipe.recipe import Recipe
from pellucid.stages.chat import OpenEncode, open_chat_format
from pellucid.stages.stage import Context, Stage

__all__ = ["CONVERSATIONS", "limit_tokens"]

# What is said for planning alone, and decides no byte.
_PLANNING = {"available_examples", "available_tokens"}


def _key(context: Context) -> Key:
    recipe, base, tokenizer = context.recipe, context.loaded.base, context.folder("tokenizer")
    template = open_chat_format(recipe.chat, tokenizer, base).template
    config = {
        "sources": [source.model_dump(mode="json", exclude=_PLANNING) for source in recipe.conversations],
        "system": recipe.chat.system,
        "limit_tokens": {source.name: _limits(recipe, source) for source in recipe.conversations},
        "max_bytes": recipe.documents.max_bytes,
    }
    inputs = {
        **input_digests(recipe.conversations, base),
        "tokenizer": fingerprint(tokenizer),
        "template": sha256(template.encode()).hexdigest(),
    }
    # Nothing is left to chance: what is held out and what is selected follow from digests.
    return Key("conversations", 2, 0, config, inputs)


def limit_tokens(recipe: Recipe, source: ConversationConfig, holds_pairs: bool) -> int:
    """Return how many tokens an example of a source may have: what fits every stage that reads it, else the model's context.

    Raises `DataError` when a stage names the source and cannot read what it holds.
    """
    _check_kind(recipe, source, holds_pairs)
    return _limits(recipe, source)["pairs" if holds_pairs else "conversations"]


def _check_kind(recipe: Recipe, source: ConversationConfig, holds_pairs: bool) -> None:
    for stage in recipe.train:
        named = stage.conversations is not None and source in recipe.conversations_of(stage)
        if named and stage.learns_from_pairs != holds_pairs:
            reads, holds = ("pairs", "conversations") if stage.learns_from_pairs else ("conversations", "pairs")
            raise DataError(
                f"source {source.name!r} holds {holds}, as its first record shows; stage {stage.name!r}, which names it, has the "
                f"objective {stage.objective} and reads {reads}. Leave it out of train.{stage.name}.conversations, or set its shape"
            )


def _limits(recipe: Recipe, source: ConversationConfig) -> dict[str, int]:
    """Return the limit for conversations and that for pairs, of which a source holds one kind."""
    limits = {"conversations": [recipe.model.context_tokens], "pairs": [recipe.model.context_tokens]}
    for stage in recipe.train:
        if source in recipe.conversations_of(stage):
            limits["pairs" if stage.learns_from_pairs else "conversations"].append(stage.seq_tokens)
    return {kind: min(tokens) for kind, tokens in limits.items()}


def _build(context: Context, build: Build) -> str:
    recipe, base, tokenizer = context.recipe, context.loaded.base, context.folder("tokenizer")
    if (build.path / FUNNEL).exists():  # all of it is there; a kill came while it was sealed
        funnel = read_json(build.path / FUNNEL)["sources"]
    else:
        template = sha256(open_chat_format(recipe.chat, tokenizer, base).template.encode()).hexdigest()
        how = Preparation(
            open_encode=OpenEncode(recipe.chat, tokenizer, base, (fingerprint(tokenizer), template)),
            limit_tokens=lambda source, holds_pairs: limit_tokens(recipe, source, holds_pairs),
            max_bytes=recipe.documents.max_bytes,
            workers=recipe.documents.workers or available_cores(),
        )
        funnel = prepare_conversations(recipe.conversations, base, build.path, how).as_json()["sources"]
    _check_stages(recipe, funnel)
    build.summary.update(_summary(funnel))
    return _remark(build.summary)


def _check_current(context: Context) -> None:
    """Check what was built before against the training stages of this recipe, which the key does not hold."""
    _check_stages(context.recipe, read_json(context.folder("conversations") / FUNNEL)["sources"])


def _check_stages(recipe: Recipe, funnel: dict[str, Any]) -> None:
    """Refuse a recipe in which a stage has nothing to read, or names what it cannot read, as the first records show it."""
    for source in recipe.conversations:
        _check_kind(recipe, source, funnel[source.name]["shape"] == "pairs")
    for stage in recipe.train:
        sources = recipe.conversations_of(stage)
        if sources and not any((funnel[one.name]["shape"] == "pairs") == stage.learns_from_pairs for one in sources):
            kind = "pairs" if stage.learns_from_pairs else "conversations"
            shapes = ", ".join(f"{one.name} (shape {funnel[one.name]['shape']})" for one in sources)
            raise DataError(
                f"stage {stage.name!r} has the objective {stage.objective} and reads {kind}; there are none in {shapes}. "
                f"Give a source of {kind}"
            )


def _summary(funnel: dict[str, Any]) -> dict[str, int]:
    """Return the figures of all sources together: examples, tokens and targets of both kinds, what was dropped and cut."""
    summary: dict[str, int] = {}
    for kind in ("conversations", "pairs"):
        own = [one for one in funnel.values() if (one["shape"] == "pairs") == (kind == "pairs")]
        train = [one["splits"]["train"] for one in own]
        summary[kind] = sum(one["examples"] for one in train)
        summary[f"{kind}_tokens"] = sum(one["tokens"] for one in train)
        summary[f"{kind}_target_tokens"] = sum(one["target_tokens"] for one in train)
        summary[f"{kind}_heldout"] = sum(one["heldout"] for one in own)
    for name in ("read", "corrupt"):
        summary[name] = sum(one[name] for one in funnel.values())
    summary["dropped"] = sum(sum(one["dropped"].values()) for one in funnel.values())
    summary["truncated"] = sum(split["truncated"] for one in funnel.values() for split in one["splits"].values())
    return summary


def _remark(summary: dict[str, Any]) -> str:
    parts = []
    for kind in ("conversations", "pairs"):
        if summary[kind]:
            share = summary[f"{kind}_target_tokens"] / max(1, summary[f"{kind}_tokens"])
            parts.append(f"{summary[kind]} {kind} ({format_count(summary[f'{kind}_tokens'])} tokens, {share:.0%} of them answers)")
    heldout = summary["conversations_heldout"] + summary["pairs_heldout"]
    return f"{', '.join(parts)}; {heldout} held out, {summary['dropped']} dropped, {summary['truncated']} cut to the context"


CONVERSATIONS = Stage("conversations", "conversations", _key, _build, check_current=_check_current)
