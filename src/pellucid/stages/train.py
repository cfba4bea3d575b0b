"""Shards → a trained checkpoint, for each training stage of the recipe; each begins with the weights of the one before."""

from functools import partial

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.units import format_count
from pellucid.generate.decoding import generate
from pellucid.model.decoder import Decoder
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.run_folder import data_order, final_checkpoint
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.train.stage import run_stage

__all__ = ["train_stages"]

# What is kept and shown may change without training again; what comes out may not.
_SHOWN_ONLY = {"activation_checkpointing", "checkpoint", "samples", "max_bad_steps"}


def train_stages(recipe: Recipe) -> list[Stage]:
    """Return the recipe's training stages in order."""
    stages = []
    for number, config in enumerate(recipe.train):
        before = recipe.train[number - 1] if number else None
        key, build = partial(_key, config, before), partial(_build, config, before)
        stages.append(Stage(config.name, config.name, key, build, in_place=True))
    return stages


def _key(config: TrainStageConfig, before: TrainStageConfig | None, context: Context) -> Key:
    recipe = context.recipe
    inputs = {name: fingerprint(context.folder(name)) for name in ("tokenizer", "shards")}
    if before is not None:
        inputs["checkpoint"] = fingerprint(final_checkpoint(context.run, before))
    settings = {
        "stage": config.model_dump(mode="json", exclude=_SHOWN_ONLY),
        "model": recipe.model.model_dump(mode="json"),
        "weights": recipe.weights_of(config),
    }
    return Key("checkpoint_stage", 1, recipe.seed, settings, inputs)


def _build(config: TrainStageConfig, before: TrainStageConfig | None, context: Context, build: Build) -> str:
    recipe = context.recipe
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    build.summary.update(
        run_stage(
            config,
            recipe.model,
            data_order(recipe, config, context.run),
            recipe.seed,
            build.path,
            sample=partial(_sample, tokenizer),
            init_from=final_checkpoint(context.run, before) if before is not None else None,
        )
    )
    return f"{config.total_steps} steps, {format_count(config.total_steps * config.batch_tokens)} tokens"


def _sample(tokenizer: Tokenizer, model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
    """Return how the model goes on after a prompt."""
    ids = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    stream = generate(model, ids, max_new_tokens=new_tokens, temperature=0.8, top_k=50, seed=seed, stop_ids=[tokenizer.eos_id])
    return tokenizer.decode(list(stream))
