"""Values that follow from others when a recipe does not give them."""

import math
from pathlib import Path
from typing import Any

from pellucid.recipe.data import ARCADE100K_TOKENS, TokenizerConfig
from pellucid.recipe.fill_model import fill_model
from pellucid.recipe.launch import LaunchConfig
from pellucid.recipe.problems import Finding, Loc, show_value
from pellucid.recipe.training import ON_PAIRS
from pellucid.recipe.tree import STRENGTH, Leaf, Node
from pellucid.recipe.vocabulary import IMPORTED_FILES, count_tokens, vocabulary_file

__all__ = ["VOCABULARY_MULTIPLE", "fill_in"]

# Rows of embedding and head are padded to this (Stable LM 2 report, section 2.3: aligned for tensor cores).
VOCABULARY_MULTIPLE = 64


def fill_in(tree: dict[str, Node], path: Path) -> list[Finding]:
    """Add to the tree, in place, what it leaves open, and return what is wrong.

    That is: run name, preset or a published model's shape, vocabulary, evaluation window, devices of the plan.

    A run is named after its own file unless that file or an override names it: an inherited name would share one run folder.
    """
    name = tree.get("name")
    if name is None or (isinstance(name, Leaf) and name.origin == "inherited"):
        tree["name"] = _derived(path.stem, "the file's name")
    findings = fill_model(tree, path.parent)
    findings += _fill_vocabulary(tree, path.parent)
    findings += _fill_stages(tree)
    _fill_window(tree)
    _fill_devices(tree)
    return findings


def _fill_vocabulary(tree: dict[str, Node], base: Path) -> list[Finding]:
    """Arcade100k's size is known, an imported one's is counted; the model's is the tokenizer's, padded, whatever its preset."""
    tokenizer = tree.setdefault("tokenizer", {})
    if not isinstance(tokenizer, dict):
        return []
    kind = _value(tokenizer, "kind")
    if kind == "arcade100k" and "vocab_tokens" not in tokenizer:
        tokenizer["vocab_tokens"] = _derived(ARCADE100K_TOKENS, "tokenizer.kind")
    findings = _count_vocabulary(tokenizer, kind, base) if isinstance(kind, str) and kind in IMPORTED_FILES else []
    model = tree.get("model")
    if not isinstance(model, dict):
        return findings
    given = model.get("vocab_tokens")
    if isinstance(given, Leaf) and not given.place.startswith("preset "):
        return findings
    default = TokenizerConfig.model_fields["vocab_tokens"].default
    tokens = _value(tokenizer, "vocab_tokens") if "vocab_tokens" in tokenizer else default
    if isinstance(tokens, int) and tokens > 0:
        padded = -(-tokens // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
        model["vocab_tokens"] = _derived(padded, f"tokenizer.vocab_tokens, padded to a multiple of {VOCABULARY_MULTIPLE}")
    return findings


def _count_vocabulary(tokenizer: dict[str, Node], kind: str, base: Path) -> list[Finding]:
    """Give an imported vocabulary the size that its file has. Without the file the recipe must say it."""
    named = _value(tokenizer, "path")
    file = vocabulary_file(kind, base / named) if isinstance(named, str) and named else None
    given = _value(tokenizer, "vocab_tokens")
    if file is None:
        missing = "vocab_tokens" not in tokenizer and (named is not None or _value(tokenizer, "hub") is not None)
        why = f"{named} is not there to be counted" if named else "there is no path to be counted"
        fix = "write the vocabulary's size, special tokens included"
        return [Finding(("tokenizer", "vocab_tokens"), f"missing, and {why}", fix)] if missing else []
    try:
        tokens = count_tokens(kind, file)
    except (OSError, ValueError) as error:
        return [Finding(("tokenizer", "path"), f"got {show_value(named)}; cannot be read as {kind}: {error}")]
    if "vocab_tokens" not in tokenizer:
        tokenizer["vocab_tokens"] = _derived(tokens, "tokenizer.path")
    elif isinstance(given, int) and given != tokens:
        return [Finding(("tokenizer", "vocab_tokens"), f"got {given}; {named} has {tokens}", "leave it out to have it counted")]
    return []


def _fill_stages(tree: dict[str, Node]) -> list[Finding]:
    """Stages that read examples: how these become sequences, and how long that takes as far as it is known beforehand.

    `batch_seqs` is another way to write `batch_tokens`; `warmup_frac` and `cooldown_frac` are worked out wherever a stage's length
    is known.
    """
    stages, findings = tree.get("train"), []
    for index, stage in enumerate(stages if isinstance(stages, list) else []):
        if not isinstance(stage, dict):
            continue
        findings += _fill_batch(stage, ("train", index))
        objective = _value(stage, "objective") or "next_token"
        if objective == "next_token":
            findings += _fill_shares(stage, ("train", index))
            continue
        stage.setdefault("packing", _derived("best_fit" if objective == "sft" else "none", "objective"))
        stage.setdefault("attention", _derived("document", "objective"))
        batch, epochs = _value(stage, "batch_tokens"), _value(stage, "length_epochs")
        if isinstance(batch, int):
            tokens = _example_tokens(tree, stage, objective)
            counted = tokens is not None and isinstance(epochs, int | float) and math.isfinite(epochs)
            length = max(batch, round((tokens or 0) * epochs)) if counted else batch
            given = stage.get("length_tokens")
            # A resolved recipe has both, and the epochs count.
            if isinstance(given, Leaf) and (given.origin == "override" or "length_epochs" not in stage):
                where = ("train", index, "length_tokens")
                findings.append(Finding(where, "examples are read to the last one", "write length_epochs instead"))
            place = "conversations' available_tokens · length_epochs" if tokens else "one batch; the examples will tell"
            stage["length_tokens"] = _derived(length, place)
    return findings


def _fill_batch(stage: dict[str, Node], loc: Loc) -> list[Finding]:
    seqs, tokens = _value(stage, "batch_seqs"), _value(stage, "seq_tokens")
    if "batch_seqs" not in stage:
        return []
    given, other = stage.pop("batch_seqs"), stage.get("batch_tokens")
    if isinstance(given, Leaf) and isinstance(other, Leaf):
        # What is nearer to the reader wins, as for any other key: an override over the file, the file over what it extends.
        if STRENGTH.index(given.origin) < STRENGTH.index(other.origin):
            return []
        if given.origin == other.origin:
            return [Finding((*loc, "batch_seqs"), "the stage has batch_tokens as well", "keep one of the two")]
    if not isinstance(seqs, int) or seqs < 1:
        micro = _value(stage, "micro_seqs")
        if isinstance(tokens, int) and isinstance(micro, int):
            stage["batch_tokens"] = _derived(tokens * micro, "batch_seqs")  # one finding is enough
        return [Finding((*loc, "batch_seqs"), f"got {show_value(seqs)}; must be a whole number of 1 or more")]
    if isinstance(tokens, int):
        stage["batch_tokens"] = _derived(seqs * tokens, "batch_seqs · seq_tokens")
    return []


def _fill_shares(stage: dict[str, Node], loc: Loc) -> list[Finding]:
    """Work out warm-up and cool-down of a stage of text that are given as shares of its steps."""
    schedule, length, batch = stage.get("schedule"), _value(stage, "length_tokens"), _value(stage, "batch_tokens")
    if not (isinstance(schedule, dict) and isinstance(length, int) and isinstance(batch, int) and length > 0 and batch > 0):
        return []
    findings = []
    for part in ("warmup", "cooldown"):
        share, name = _value(schedule, f"{part}_frac"), f"{part}_steps"
        if not isinstance(share, int | float) or not 0 <= share < 1:
            continue
        steps = math.ceil(share * -(-length // batch))
        if _value(schedule, name) in (None, 0, steps):
            schedule[name] = _derived(steps, f"schedule.{part}_frac")
        else:
            findings.append(Finding((*loc, "schedule", name), f"the schedule has {part}_frac as well", "keep one of the two"))
    return findings


def _example_tokens(tree: dict[str, Node], stage: dict[str, Node], objective: str) -> int | None:
    """Return what the sources that the stage may read hold by the recipe's own account; None where it does not say."""
    sources, named = tree.get("conversations"), stage.get("conversations")
    names = [leaf.value for leaf in named if isinstance(leaf, Leaf)] if isinstance(named, list) else None
    total = 0
    for source in sources if isinstance(sources, list) else []:
        shape = _value(source, "shape") or "auto"
        fits = shape == "auto" or (shape == "pairs") == (objective in ON_PAIRS)
        if objective == "self_knowledge" or not (fits if names is None else _value(source, "name") in names):
            continue
        tokens = _value(source, "available_tokens")
        if not isinstance(tokens, int):
            return None
        total += tokens
    return total or None


def _fill_window(tree: dict[str, Node]) -> None:
    """Held-out text is scored in windows of the last text stage's sequences, half a window at a time."""
    stages, evaluate = tree.get("train"), tree.setdefault("evaluate", {})
    stages = [one for one in stages if _value(one, "objective") in (None, "next_token")] if isinstance(stages, list) else None
    if not isinstance(evaluate, dict) or not stages:
        return
    window = _value(evaluate, "seq_tokens")
    if window is None:
        window = _value(stages[-1], "seq_tokens")
        if not isinstance(window, int) or window < 2:
            return
        evaluate["seq_tokens"] = _derived(window, "the last text stage's seq_tokens")
    if _value(evaluate, "stride_tokens") is None and isinstance(window, int) and window >= 2:
        evaluate["stride_tokens"] = _derived(window // 2, "half of evaluate.seq_tokens")


def _fill_devices(tree: dict[str, Node]) -> None:
    """A plan is made for the devices that the job will have."""
    launch, plan = tree.get("launch"), tree.setdefault("plan", {})
    if not isinstance(launch, dict) or not isinstance(plan, dict) or "devices" in plan:
        return
    fields = ("nodes", "devices_per_node")
    counts = [_value(launch, field) if field in launch else LaunchConfig.model_fields[field].default for field in fields]
    if all(isinstance(count, int) and count > 0 for count in counts):
        plan["devices"] = _derived(counts[0] * counts[1], "launch.nodes · launch.devices_per_node")


def _derived(value: Any, place: str) -> Leaf:
    return Leaf(value, "derived", f"from {place}")


def _value(section: Node, key: str) -> Any:
    leaf = section.get(key) if isinstance(section, dict) else None
    return leaf.value if isinstance(leaf, Leaf) else None
