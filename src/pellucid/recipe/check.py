"""Combinations that cannot work. Each rule yields findings with the value, the limit and the nearest fix."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pellucid.recipe.check_conversations import conversation_places, export_of_adapter, stage_examples, text_sources
from pellucid.recipe.check_curves import stage_curves
from pellucid.recipe.check_documents import document_sizes, source_folders, source_selection
from pellucid.recipe.check_inputs import one_place, unique_names
from pellucid.recipe.check_launch import check_launch
from pellucid.recipe.check_mixture import source_amount, stage_packing, stage_weights
from pellucid.recipe.check_near_dedup import near_dedup_bands
from pellucid.recipe.data import ARCADE100K_TOKENS, SourceConfig
from pellucid.recipe.partial import UnknownValueError
from pellucid.recipe.problems import Finding, Loc
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.recipe.vocabulary import IMPORTED_FILES

__all__ = ["RESERVED_STAGE_NAMES", "check"]

# Folders of a run that are not training stages.
RESERVED_STAGE_NAMES = (
    "plan",
    "documents",
    "conversations",
    "tokenizer",
    "shards",
    "averages",
    "scores",
    "exports",
    "report",
    "launch",
    "benchmarks",
    "evals",
)

T = TypeVar("T")
Rule = Callable[[Recipe], Iterator[Finding]]
StageRule = Callable[[Recipe, TrainStageConfig, Loc], Iterator[Finding]]
SourceRule = Callable[[SourceConfig, Loc], Iterator[Finding]]


def check(recipe: Recipe) -> list[Finding]:
    """Return every impossible combination in a recipe; values that are unknown (see `partial`) silence their rules only."""
    found = [finding for rule in RULES for finding in _tried(rule(recipe))]
    if recipe.launch is not None:
        found += [finding for findings in check_launch(recipe.launch) for finding in _tried(findings)]
    for index, source in enumerate(_each(recipe.sources)):
        found += [finding for rule in SOURCE_RULES for finding in _tried(rule(source, ("sources", index)))]
    for index, stage in enumerate(_each(recipe.train)):
        found += [finding for rule in STAGE_RULES for finding in _tried(rule(recipe, stage, ("train", index)))]
    return found


def _tried(findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except UnknownValueError:
        return


def _each(items: Iterable[T]) -> tuple[T, ...]:
    try:
        return tuple(items)
    except UnknownValueError:
        return ()


def _nearest(value: int, multiple: int) -> str:
    below, above = value // multiple * multiple, -(-value // multiple) * multiple
    return f"nearest: {below} or {above}" if below else f"nearest: {above}"


def model_heads(recipe: Recipe) -> Iterator[Finding]:
    """Heads share the hidden width evenly, key heads share the query heads, and rotated channels come in pairs."""
    model = recipe.model
    if model.hidden % model.heads:
        yield Finding(
            ("model", "hidden"),
            f"got {model.hidden}; must be a multiple of heads = {model.heads}",
            _nearest(model.hidden, model.heads),
        )
        return
    if model.rotary_channels % 2:
        pairs = model.rotary_channels // 2 * 2
        yield Finding(
            ("model", "rotary_frac"),
            f"got {model.rotary_frac}; {model.rotary_channels} of {model.head_channels} channels would be rotated, must be even",
            f"nearest: {pairs / model.head_channels:g} or {(pairs + 2) / model.head_channels:g}",
        )


def model_kv_heads(recipe: Recipe) -> Iterator[Finding]:
    """Every key head serves the same number of query heads."""
    model = recipe.model
    if model.heads % model.kv_heads:
        divisors = [count for count in range(1, model.heads + 1) if model.heads % count == 0]
        yield Finding(
            ("model", "kv_heads"),
            f"got {model.kv_heads}; must divide heads = {model.heads}",
            f"possible: {', '.join(map(str, divisors))}",
        )


def model_norm(recipe: Recipe) -> Iterator[Finding]:
    """RMSNorm has no bias."""
    if recipe.model.norm == "rmsnorm" and recipe.model.norm_bias:
        yield Finding(("model", "norm_bias"), "got true; rmsnorm has no bias", "set norm_bias: false, or norm: layernorm")


def model_vocabulary(recipe: Recipe) -> Iterator[Finding]:
    """The embedding has a row for every token."""
    tokens = recipe.tokenizer.vocab_tokens
    if recipe.model.vocab_tokens < tokens:
        yield Finding(
            ("model", "vocab_tokens"),
            f"got {recipe.model.vocab_tokens}; must be at least the tokenizer's {tokens}",
            f"leave it out to get {tokens} padded to a multiple of 64, or set tokenizer.vocab_tokens",
        )


def tokenizer_kind(recipe: Recipe) -> Iterator[Finding]:
    """Arcade100k has one size; an imported vocabulary needs its place, the others have none."""
    tokenizer = recipe.tokenizer
    if tokenizer.kind == "arcade100k" and tokenizer.vocab_tokens != ARCADE100K_TOKENS:
        yield Finding(
            ("tokenizer", "vocab_tokens"),
            f"got {tokenizer.vocab_tokens}; arcade100k has {ARCADE100K_TOKENS}",
            "leave it out, or use kind: bpe to train a vocabulary of another size",
        )
    if tokenizer.kind in IMPORTED_FILES:
        if not tokenizer.path and not tokenizer.hub:
            usual = IMPORTED_FILES[tokenizer.kind]
            yield Finding(
                ("tokenizer", "path"),
                f"missing; kind {tokenizer.kind} reads a {usual}",
                "write path: FILE-OR-FOLDER; hub: owner/name is enough for a plan",
            )
        return
    for field in ("path", "hub", "eos"):
        if (value := getattr(tokenizer, field)) is not None:
            kinds = " or ".join(IMPORTED_FILES)
            yield Finding(("tokenizer", field), f"got {value!r}; kind {tokenizer.kind} takes none", f"use kind: {kinds}")


def source_names(recipe: Recipe) -> Iterator[Finding]:
    """Names are folders: unique even where capitals do not count."""
    yield from unique_names([source.name for source in recipe.sources], "sources")


def stage_names(recipe: Recipe) -> Iterator[Finding]:
    """Names are folders of the run: unique, and none that the run uses itself."""
    names = [stage.name for stage in recipe.train]
    yield from unique_names(names, "train")
    for index, name in enumerate(names):
        if name in RESERVED_STAGE_NAMES:
            taken = ", ".join(RESERVED_STAGE_NAMES)
            yield Finding(("train", index, "name"), f"got {name!r}; the run has a folder of that name", f"taken: {taken}")


def evaluation_window(recipe: Recipe) -> Iterator[Finding]:
    """The window fits the model, and no token is jumped over."""
    window, stride, context = recipe.evaluate.seq_tokens, recipe.evaluate.stride_tokens, recipe.model.context_tokens
    if window is not None and window > context:
        yield Finding(("evaluate", "seq_tokens"), f"got {window}; must be at most model.context_tokens = {context}")
    if window is not None and stride is not None and stride > window:
        yield Finding(
            ("evaluate", "stride_tokens"), f"got {stride}; must be at most seq_tokens = {window}", "a longer stride skips tokens"
        )


def benchmark_stages(recipe: Recipe) -> Iterator[Finding]:
    """Models that are scored are those of training stages; a judge is needed where one is asked for."""
    benchmarks = recipe.evaluate.benchmarks
    if benchmarks is None:
        return
    names = [stage.name for stage in recipe.train]
    for index, name in enumerate(benchmarks.stages or ()):
        if name not in names:
            there = f"there are: {', '.join(names)}"
            yield Finding(("evaluate", "benchmarks", "stages", index), f"got {name!r}; there is no such training stage", there)
    if benchmarks.settings.endpoint is not None:
        loc = ("evaluate", "benchmarks", "settings", "endpoint")
        yield Finding(loc, "is for models behind an endpoint; a recipe scores its own", "leave it out")
    if "mt_bench" in benchmarks.suites and benchmarks.settings.judge is None:
        loc = ("evaluate", "benchmarks", "settings", "judge")
        yield Finding(loc, "missing; mt_bench is graded by a judge", "judge: {url: http://127.0.0.1:8080}")


def source_place(source: SourceConfig, loc: Loc) -> Iterator[Finding]:
    """A source is files or a data set on the hub, and has only what belongs to these."""
    yield from one_place(source, loc)
    if source.path is not None and not source.path.strip():
        yield Finding((*loc, "path"), "got ''; must name a file or a glob")
    if source.path is not None and source.hub is None:
        if source.split != "train":
            yield Finding((*loc, "split"), f"got {source.split!r}; files have no splits", "leave it out, or name the files in path")
        if source.revision is not None:
            yield Finding((*loc, "revision"), f"got {source.revision!r}; only a data set on the hub has one", "leave it out")


def source_text(source: SourceConfig, loc: Loc) -> Iterator[Finding]:
    """The text is one field, as it stands or as HTML, or is made from several by a template."""
    if source.template is None:
        return
    if not source.template.strip():
        yield Finding((*loc, "template"), "got ''; must be a text with {fields}, a .yaml file, or the name of a shipped template")
    if source.text_column != "text":
        yield Finding(
            (*loc, "text_column"),
            f"got {source.text_column!r}; is not used, because template makes the text",
            f"leave out one of the two; in a template the field is written {{{source.text_column}}}",
        )
    if source.html:
        yield Finding((*loc, "html"), "got true; a template's text is not HTML", "leave out html, or template")


def stage_batch(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """A step is a whole number of micro-batches."""
    micro_tokens = stage.micro_seqs * stage.seq_tokens
    if stage.batch_tokens % micro_tokens:
        yield Finding(
            (*loc, "batch_tokens"),
            f"got {stage.batch_tokens}; must be a multiple of micro_seqs · seq_tokens = "
            f"{stage.micro_seqs} · {stage.seq_tokens} = {micro_tokens}",
            _nearest(stage.batch_tokens, micro_tokens),
        )


def stage_ranks(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """A step's sequences are dealt out to all ranks of the launch in whole micro-batches."""
    launch, micro_tokens = recipe.launch, stage.micro_seqs * stage.seq_tokens
    if launch is None or stage.batch_tokens % micro_tokens:
        return
    if stage.batch_tokens % (launch.ranks * micro_tokens):
        fix = _nearest(stage.batch_tokens, launch.ranks * micro_tokens)
        if stage.batch_seqs % launch.ranks == 0:
            fix += f", or micro_seqs: {math.gcd(stage.batch_seqs // launch.ranks, stage.micro_seqs)}"
        yield Finding(
            (*loc, "batch_tokens"),
            f"got {stage.batch_tokens}; cannot be dealt out to the {launch.ranks} ranks of launch (nodes · devices_per_node = "
            f"{launch.nodes} · {launch.devices_per_node}): must be a multiple of ranks · micro_seqs · seq_tokens = "
            f"{launch.ranks} · {stage.micro_seqs} · {stage.seq_tokens} = {launch.ranks * micro_tokens}",
            fix,
        )


def stage_context(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """A sequence fits the model."""
    limit = recipe.model.context_tokens
    if stage.seq_tokens > limit:
        yield Finding(
            (*loc, "seq_tokens"),
            f"got {stage.seq_tokens}; must be at most model.context_tokens = {limit}",
            f"set seq_tokens: {limit}, or model.context_tokens: {stage.seq_tokens}",
        )


def schedule_length(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """Warm-up and cool-down fit into the stage. How long one is that reads examples, these tell when they are there."""
    if not stage.learns_from_text:
        return
    warmup, cooldown, total = stage.schedule.warmup_steps, stage.schedule.cooldown_steps, stage.total_steps
    if warmup + cooldown > total:
        yield Finding(
            (*loc, "schedule", "warmup_steps"),
            f"got {warmup}; with cooldown_steps = {cooldown} it must fit into the stage's {total} steps "
            f"(length_tokens / batch_tokens, rounded up)",
            f"set warmup_steps + cooldown_steps to at most {total}, or length_tokens to at least "
            f"{(warmup + cooldown) * stage.batch_tokens}",
        )


def schedule_rates(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """The curve falls from peak to minimum."""
    peak, low = stage.schedule.peak_lr, stage.schedule.min_lr
    if low > peak:
        yield Finding((*loc, "schedule", "min_lr"), f"got {low:g}; must be at most peak_lr = {peak:g}", f"usual: {peak / 10:g}")


def stage_start(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """The first weights come from a place with a name."""
    if stage.init_from is not None and not stage.init_from.strip():
        yield Finding(
            (*loc, "init_from"),
            "got ''; must name a folder or a file",
            "leave it out to begin from the stage before, or from nothing",
        )


def stage_parallel(recipe: Recipe, stage: TrainStageConfig, loc: Loc) -> Iterator[Finding]:
    """Exact sums are made of whole gradients, and matrices are cut where their widths allow."""
    if stage.exact and stage.parallel.shard != "none":
        yield Finding(
            (*loc, "exact"),
            f"got true; needs parallel.shard = none, which is {stage.parallel.shard}",
            "set parallel.shard: none, or exact: false",
        )
    ways, model = stage.parallel.tensor_ways, recipe.model
    if ways > 1 and stage.exact:
        yield Finding((*loc, "parallel", "tensor_ways"), f"got {ways}; exact: true needs 1", "set exact: false, or tensor_ways: 1")
    if ways > 1 and model.qk_norm:
        yield Finding((*loc, "parallel", "tensor_ways"), f"got {ways}; model.qk_norm needs 1", "set tensor_ways: 1")
    for name, width in (("heads", model.heads), ("kv_heads", model.kv_heads), ("mlp_hidden", model.mlp_hidden)):
        if width % ways:
            most = math.gcd(model.heads, model.kv_heads, model.mlp_hidden)
            fix = f"possible: the divisors of {most}"
            yield Finding((*loc, "parallel", "tensor_ways"), f"got {ways}; must divide model.{name} = {width}", fix)
    if stage.parallel.cpu_offload and stage.parallel.shard == "none":
        yield Finding(
            (*loc, "parallel", "cpu_offload"),
            "got true; needs parallel.shard = zero1 or full, which is none",
            "set parallel.shard: full",
        )


RULES: tuple[Rule, ...] = (
    text_sources,
    conversation_places,
    export_of_adapter,
    model_heads,
    model_kv_heads,
    model_norm,
    model_vocabulary,
    tokenizer_kind,
    source_names,
    source_amount,
    stage_names,
    evaluation_window,
    benchmark_stages,
    document_sizes,
    near_dedup_bands,
    source_folders,
    source_selection,
)
SOURCE_RULES: tuple[SourceRule, ...] = (source_place, source_text)
STAGE_RULES: tuple[StageRule, ...] = (
    stage_batch,
    stage_ranks,
    stage_context,
    schedule_length,
    schedule_rates,
    stage_start,
    stage_weights,
    stage_packing,
    stage_examples,
    stage_parallel,
    stage_curves,
)
