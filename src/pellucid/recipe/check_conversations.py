"""Rules about conversations and the stages that learn from them."""

from collections.abc import Iterator

from pellucid.recipe.check_inputs import one_place, unique_names
from pellucid.recipe.merge import suggest
from pellucid.recipe.problems import Finding, Loc
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.tuning import HeldoutConfig, PreferenceConfig

__all__ = ["conversation_places", "export_of_adapter", "stage_examples", "text_sources"]


def text_sources(recipe: Recipe) -> Iterator[Finding]:
    """Whoever learns from text, or learns a vocabulary from it, needs some."""
    if recipe.sources:
        return
    for stage in recipe.train:
        if stage.learns_from_text:
            yield Finding(("sources",), f"got none; stage {stage.name!r} learns from text", "give a source of text")
            break
    if recipe.tokenizer.kind == "bpe":
        yield Finding(("sources",), "got none; a vocabulary of kind bpe is learnt from text", "import one: tokenizer.kind")


def conversation_places(recipe: Recipe) -> Iterator[Finding]:
    """A source of conversations is files or a data set on the hub, under a name of its own."""
    yield from unique_names([source.name for source in recipe.conversations], "conversations")
    for index, source in enumerate(recipe.conversations):
        loc: Loc = ("conversations", index)
        yield from one_place(source, loc)
        if source.min_chosen_score is not None and source.holds_pairs is False:
            yield Finding((*loc, "min_chosen_score"), f"got {source.min_chosen_score:g}; only pairs have scores", "shape: pairs")


def stage_examples(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """A stage reads text for a number of tokens, or examples for a number of epochs, and has the settings of its objective only."""
    if stage.learns_from_text:
        for field in ("length_epochs", "conversations"):
            if getattr(stage, field) is not None:
                yield Finding((*loc, field), "is for stages that learn from conversations", "leave it out, or objective: sft")
        if stage.heldout != HeldoutConfig():
            yield Finding((*loc, "heldout"), "is for held-out conversations; held-out text is scored by evaluate", "leave it out")
        if stage.packing == "none":
            yield Finding((*loc, "packing"), "got none; text is packed", "set packing: windows or best_fit")
    else:
        yield from _examples_of(recipe, stage, loc)
    if (stage.self_knowledge is None) == (stage.objective == "self_knowledge"):
        if stage.self_knowledge is None:
            yield Finding(
                (*loc, "self_knowledge"), "missing; the objective makes its data from it", "self_knowledge: {facts: FILE}"
            )
        else:
            yield Finding((*loc, "self_knowledge"), f"the objective is {stage.objective}", "objective: self_knowledge")
    if stage.adapter is not None:
        yield from _adapter(stage, loc)


def _examples_of(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    for field in ("weights", "epochs", "temperature"):
        if getattr(stage, field) is not None:
            yield Finding((*loc, field), "is for stages that learn from text", "leave it out; see length_epochs and conversations")
    if stage.preference != PreferenceConfig() and not stage.learns_from_pairs:
        yield Finding((*loc, "preference"), f"the objective is {stage.objective}", "leave it out, or objective: dpo")
    if stage.length_epochs is None:
        yield Finding((*loc, "length_epochs"), "missing; how often each example is read", "length_epochs: 3 for sft, 1 for dpo")
    if stage.packing == "windows" or (stage.packing == "best_fit" and stage.objective != "sft"):
        fit = "best_fit or none" if stage.objective == "sft" else "none"
        yield Finding((*loc, "packing"), f"got {stage.packing}; objective {stage.objective} takes {fit}", "leave it out")
    if stage.attention != "document":
        yield Finding((*loc, "attention"), f"got {stage.attention}; conversations see themselves only", "leave it out")
    if stage.exact and stage.packing == "none":
        yield Finding((*loc, "exact"), "got true; needs packing: best_fit, so that ranks share equal sequences", "exact: false")
    if stage.parallel.tensor_ways > 1 and stage.learns_from_pairs:
        yield Finding((*loc, "parallel", "tensor_ways"), f"got {stage.parallel.tensor_ways}; pairs need 1", "tensor_ways: 1")
    if stage.learns_from_pairs:
        yield from _preference(stage, loc)
    if stage.objective == "self_knowledge":
        if stage == recipe.train[0] and stage.init_from is None:
            yield Finding(
                (*loc, "init_from"), "missing; the stage's first weights write its data", "name a model, or train one before"
            )
        yield from _writers(recipe, stage, loc)
        return
    names = [source.name for source in recipe.conversations]
    for name in stage.conversations or ():
        if name not in names:
            near = suggest(name, names)
            fix = f"did you mean {near}?" if near else f"conversations: {', '.join(names) or 'none'}"
            yield Finding((*loc, "conversations"), f"got {name!r}; names no source of conversations", fix)
        elif not any(
            source.name == name and source.holds_pairs in (None, stage.learns_from_pairs) for source in recipe.conversations
        ):
            kind = "pairs" if stage.learns_from_pairs else "conversations"
            yield Finding((*loc, "conversations"), f"got {name!r}; objective {stage.objective} reads {kind}", "see its shape")
    if stage.conversations is None and not recipe.conversations_of(stage):
        kind = "shape: pairs" if stage.learns_from_pairs else "conversations"
        yield Finding((*loc, "conversations"), f"there are none of {kind} to read", "give one under conversations:")


def _writers(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    earlier = [one.name for one in recipe.train[: recipe.train.index(stage)]]
    named = stage.self_knowledge.messages_from if stage.self_knowledge is not None else None
    if named is not None and named not in earlier:
        fix = f"stages before this one: {', '.join(earlier) or 'none'}"
        yield Finding((*loc, "self_knowledge", "messages_from"), f"got {named!r}; must be a stage before this one", fix)
    if stage.conversations is not None:
        yield Finding((*loc, "conversations"), "the stage makes its own", "leave it out")


def _preference(stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    if stage.z_loss:
        yield Finding((*loc, "z_loss"), f"got {stage.z_loss:g}; objective {stage.objective} has none", "leave it out")
    smoothing = stage.preference.label_smoothing
    if smoothing and stage.objective != "dpo":
        yield Finding((*loc, "preference", "label_smoothing"), f"got {smoothing:g}; only dpo has it", "leave it out")


def _adapter(stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    if stage.optimizer.kind == "muon":
        yield Finding((*loc, "optimizer", "kind"), "got muon; adapters are trained with adamw", "kind: adamw")
    if stage.parallel.shard != "none" or stage.parallel.tensor_ways > 1:
        yield Finding((*loc, "parallel"), "adapters are replicated on every rank", "shard: none, tensor_ways: 1")
    targets = stage.adapter.targets if stage.adapter is not None else ()
    if repeated := [target for target in dict.fromkeys(targets) if targets.count(target) > 1]:
        yield Finding((*loc, "adapter", "targets"), f"names {', '.join(repeated)} more than once", "name each matrix once")


def export_of_adapter(recipe: Recipe) -> Iterator[Finding]:
    """peft keeps adapters, and the model that is exported is the last stage's."""
    if "peft" in recipe.export.formats and recipe.train[-1].adapter is None:
        yield Finding(
            ("export", "formats"),
            f"got peft; the last stage, {recipe.train[-1].name!r}, has no adapter",
            f"leave peft out, or train.{recipe.train[-1].name}.adapter: {{rank: 16}}",
        )
