"""Shards → a trained checkpoint, for each training stage of the recipe.

Each begins with the weights of the one before, or with those that its `init_from` names.
"""

import warnings
from functools import partial
from pathlib import Path

from pellucid.adapters.peft_format import peft_digest
from pellucid.batches.order import DataOrder
from pellucid.checkpoint.models import check_start
from pellucid.checkpoint.weights import weights_digest
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import PellucidWarning, UsageError
from pellucid.core.files import read_json
from pellucid.core.processes import end_workers
from pellucid.core.units import format_count
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.plan.mixing import mix_of
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.run_folder import data_order, final_checkpoint, shard_tokens, weights_at
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.train.saver import what_is_computed
from pellucid.train.stage import run_stage, world_for

__all__ = ["train_stages"]

_TOKENS = "tokenizer.json"


def train_stages(recipe: Recipe) -> list[Stage]:
    """Return the recipe's training stages in order."""
    stages = []
    for number, config in enumerate(recipe.train):
        before = recipe.train[number - 1] if number else None
        key, build, check = partial(_key, config, before), partial(_build, config, before), partial(_check_world, config)
        stages.append(Stage(config.name, config.name, key, build, in_place=True, check=check))
    return stages


def _key(config: TrainStageConfig, before: TrainStageConfig | None, context: Context) -> Key:
    recipe = context.recipe
    inputs = {name: fingerprint(context.folder(name)) for name in ("tokenizer", "shards")}
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
        "weights": mix_of(recipe, config, shard_tokens(recipe, context.run)).weights,
    }
    return Key("checkpoint_stage", 1, recipe.seed, settings, inputs)


def _check_world(config: TrainStageConfig, context: Context) -> None:
    world_for(config, context.world)


def _build(config: TrainStageConfig, before: TrainStageConfig | None, context: Context, build: Build) -> str:
    recipe = context.recipe
    end_workers()  # of earlier stages
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    start = _first_weights(config, before, context)
    if config.init_from is not None and start is not None:
        build.summary["init_from"] = config.init_from
        _warn_of_other_tokens(start, context.folder("tokenizer"))
    build.summary.update(
        run_stage(
            config,
            recipe.model,
            data_order(recipe, config, context.run),
            recipe.seed,
            build.path,
            sample=partial(_sample, tokenizer),
            init_from=start,
            adapter_from=_first_adapter(config, context),
            world=context.world,
            earlier=partial(_orders_before, config, context),
        )
    )
    return f"{config.total_steps} steps, {format_count(config.total_steps * config.batch_tokens)} tokens"


def _orders_before(config: TrainStageConfig, context: Context) -> list[tuple[DataOrder, int]]:
    """Return the orders of the stages before this one, and how many sequences each read."""
    stages = context.recipe.train[: context.recipe.train.index(config)]
    return [(data_order(context.recipe, stage, context.run), stage.total_steps * stage.batch_seqs) for stage in stages]


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


def _warn_of_other_tokens(start: Path, tokenizer: Path) -> None:
    """Warn when ids meant other tokens to the weights, as far as a `tokenizer.json` lies with them: nothing else would show it."""
    run = start.resolve().parents[2:3]  # of a checkpoint: RUN/STAGE/checkpoints/step-N
    files = [start / _TOKENS, *(folder / "tokenizer" / _TOKENS for folder in run)]
    file = next((file for file in files if file.is_file()), None)
    if file is None or not (tokenizer / _TOKENS).is_file():
        return
    ours, theirs = _tokens_by_id(tokenizer / _TOKENS), _tokens_by_id(file)
    if others := sum(theirs.get(id_, token) != token for id_, token in ours.items()):
        warnings.warn(
            f"{others} of {len(ours)} token ids stand for another token in {file}: the weights will have to learn them anew. "
            "Begin with weights of this tokenizer (arcade100k is the same everywhere), or train on the same documents",
            PellucidWarning,
            stacklevel=2,
        )


def _tokens_by_id(file: Path) -> dict[int, str]:
    values = read_json(file)
    vocabulary = values.get("model", {}).get("vocab", {})
    # Only byte-level BPE is compared: other kinds have a list here, and spell tokens in another way.
    tokens = {id_: token for token, id_ in vocabulary.items()} if isinstance(vocabulary, dict) else {}
    return tokens | {token["id"]: token["content"] for token in values.get("added_tokens", [])}


def _sample(tokenizer: Tokenizer, model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    """Return how the model goes on after a prompt."""
    ids = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    stream = generate(model, ids, max_new_tokens=new_tokens, temperature=0.8, top_k=50, seed=seed, stop_ids=[tokenizer.eos_id])
    return tokenizer.decode_after(stream)
