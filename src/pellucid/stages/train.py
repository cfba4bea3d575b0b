"""Shards → a trained checkpoint, for each training stage of the recipe.

Each begins with the weights of the one before, or with those that its `init_from` names.
"""

from functools import partial
from pathlib import Path

from pellucid.adapters.peft_format import peft_digest
from pellucid.checkpoint.models import check_start
from pellucid.checkpoint.weights import weights_digest
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import UsageError
from pellucid.core.metrics import read_metrics
from pellucid.core.processes import end_workers
from pellucid.core.units import format_count
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.plan.mixing import mix_of
from pellucid.recipe.computed import what_is_computed
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.chat_format import chat_format_of, chat_sample
from pellucid.stages.curves import curves_of, watching
from pellucid.stages.examples import example_order, heldout_orders
from pellucid.stages.first_messages import Speech
from pellucid.stages.knowing import knowledge_inputs, knowledge_probe, write_knowledge_data
from pellucid.stages.orders import data_order, orders_before, shard_tokens
from pellucid.stages.other_tokens import warn_of_other_tokens
from pellucid.stages.run_folder import final_checkpoint, weights_at
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.train.stage import run_stage, world_for

__all__ = ["train_stages"]


def train_stages(recipe: Recipe) -> list[Stage]:
    """Return the recipe's training stages in order."""
    stages = []
    for number, config in enumerate(recipe.train):
        before = recipe.train[number - 1] if number else None
        key, build, check = partial(_key, config, before), partial(_build, config, before), partial(_check_world, config)
        stages.append(Stage(config.name, config.name, key, build, in_place=True, check=check, skipped=_skipped_steps))
    return stages


def _key(config: TrainStageConfig, before: TrainStageConfig | None, context: Context) -> Key:
    recipe = context.recipe
    data = ("shards",) if config.learns_from_text else ("conversations",) if recipe.conversations_of(config) else ()
    inputs = {name: fingerprint(context.folder(name)) for name in ("tokenizer", *data)}
    start = _first_weights(config, before, context)
    if start is not None:
        check_start(start, recipe.model)
        inputs["checkpoint" if config.init_from is None else "init_from"] = weights_digest(start)
    adapter = _first_adapter(config, context)
    if adapter is not None:
        inputs["adapter"] = peft_digest(adapter)
    settings = {
        "stage": what_is_computed(config),
        "model": recipe.model.model_dump(mode="json"),
    }
    if config.learns_from_text:
        settings["weights"] = mix_of(recipe, config, shard_tokens(recipe, context.run)).weights
    else:
        # What it says, wherever the file lies.
        settings["chat"] = {"template": chat_format_of(recipe, context.run).template, "system": recipe.chat.system}
    if config.self_knowledge is not None:
        inputs |= knowledge_inputs(config, context)
    return Key("checkpoint_stage", 1, recipe.seed, settings, inputs)


def _skipped_steps(folder: Path) -> list[int]:
    return [record["step"] for record in read_metrics(folder / "metrics.jsonl") if record.get("skipped")]


def _check_world(config: TrainStageConfig, context: Context) -> None:
    world_for(config, context.world)


def _build(config: TrainStageConfig, before: TrainStageConfig | None, context: Context, build: Build) -> str:
    recipe = context.recipe
    end_workers()  # of earlier stages
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    start = _first_weights(config, before, context)
    if config.init_from is not None and start is not None:
        build.summary["init_from"] = config.init_from
        warn_of_other_tokens(start, context.folder("tokenizer"))
    where = (recipe.seed, build.path)
    further = context.probe(config, build.path) if context.probe is not None else None
    start_from = partial(run_stage, init_from=start, adapter_from=_first_adapter(config, context), world=context.world)
    if config.learns_from_text:
        order, earlier = data_order(recipe, config, context.run), partial(orders_before, recipe, config, context.run)
        measured = curves_of(config, context, tokenizer, config.total_steps, build.path)
        sample, probe = partial(_sample, tokenizer), watching(measured, further)
        summary = start_from(config, recipe.model, order, *where, sample=sample, earlier=earlier, probe=probe)
    else:
        speech = Speech(chat_format_of(recipe, context.run), tokenizer)
        if config.self_knowledge is not None:
            assert start is not None, "who is to learn what it is has learnt something before"
            write_knowledge_data(config, context, speech, start, build.path)
        examples = example_order(recipe, config, context.run, tokenizer.eos_id)
        steps, heldout = examples.total_steps, heldout_orders(recipe, config, context.run, tokenizer.eos_id)
        _check_length(config.lasting(steps))
        measured = curves_of(config, context, tokenizer, steps, build.path)
        knowing = knowledge_probe(config, context, speech, steps, build.path) if config.self_knowledge is not None else None
        sample, probe = partial(chat_sample, speech.chat, tokenizer), watching(measured, knowing, further)
        summary = start_from(config.lasting(steps), recipe.model, examples, *where, sample=sample, heldout=heldout, probe=probe)
    build.summary.update(summary)
    if measured is not None and context.world.is_first:
        build.summary["curves"] = measured.finish()
    return f"{summary['steps']} steps, {format_count(summary['tokens'])} tokens"


def _check_length(stage: TrainStageConfig) -> None:
    """Refuse a warm-up and a cool-down that the examples turn out to be too few for."""
    schedule, steps = stage.schedule, stage.total_steps
    if schedule.warmup_steps + schedule.cooldown_steps > steps:
        raise UsageError(
            f"stage {stage.name!r}: schedule.warmup_steps: got {schedule.warmup_steps}; with cooldown_steps = "
            f"{schedule.cooldown_steps} it must fit into the stage's {steps} steps: the examples, {stage.length_epochs:g} times, "
            f"in batches of {stage.batch_seqs}. Lower it, or write warmup_frac"
        )


def _first_weights(config: TrainStageConfig, before: TrainStageConfig | None, context: Context) -> Path | None:
    """Where the stage's first weights lie: `init_from`, else the stage before; None: they are drawn from the seed."""
    if config.init_from is None:
        return final_checkpoint(context.run, before) if before is not None else None
    named = context.loaded.base / config.init_from
    place, run = named.resolve(), context.run.resolve()
    if place == run or place.is_relative_to(run / config.name):
        raise UsageError(
            f"stage {config.name!r}: init_from: got {config.init_from!r}, which this stage makes itself; "
            "name another run, or leave it out to begin from the stage before"
        )
    return weights_at(named)


def _first_adapter(config: TrainStageConfig, context: Context) -> Path | None:
    """Where the adapter lies that the stage goes on from; None: it begins with a new one, or has none."""
    named = config.adapter.init_from if config.adapter is not None else None
    return context.loaded.base / named if named is not None else None


def _sample(tokenizer: Tokenizer, model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    """Return how the model goes on after a prompt."""
    ids = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    stream = generate(model, ids, max_new_tokens=new_tokens, temperature=0.8, top_k=50, seed=seed, stop_ids=[tokenizer.eos_id])
    return tokenizer.decode_after(stream)
