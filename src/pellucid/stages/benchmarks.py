"""`benchmarks/`: the suites that a recipe asks for, of the models that its training stages ended with."""

from pathlib import Path

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.evals.endpoint.endpoint import open_endpoint
from pellucid.evals.subject import Setting, Subject
from pellucid.evals.suites import find_suite
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.section import Section
from pellucid.recipe.suites import BenchmarksConfig, SuitesConfig
from pellucid.stages.contamination import open_look_up
from pellucid.stages.run_folder import final_checkpoint, training_stage
from pellucid.stages.stage import Context, Stage
from pellucid.stages.subjects import find_target, open_model
from pellucid.stages.suites import Work, listing_digest, named_files, score_suite, summary_of

__all__ = ["BENCHMARKS"]


def _config(recipe: Recipe) -> BenchmarksConfig:
    assert recipe.evaluate.benchmarks is not None, "the stage is there only when the recipe asks for it"
    return recipe.evaluate.benchmarks


def _stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the training stages whose models are scored."""
    return _config(recipe).stages or (recipe.train[-1].name,)


def _settings(context: Context) -> SuitesConfig:
    """Return the suites' settings with the files and folders that they name found from the recipe's folder."""
    settings, base = _config(context.recipe).settings, context.loaded.base

    def found(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(map(found, value))
        return str(base / value) if isinstance(value, str) and value and (base / value).exists() else value

    sections = {name: section for name, section in settings if isinstance(section, Section)}
    return settings.model_copy(
        update={name: one.model_copy(update={field: found(value) for field, value in one}) for name, one in sections.items()}
    )


def _data(context: Context) -> Path | None:
    data = _config(context.recipe).data
    return None if data is None else context.loaded.base / data


def _key(context: Context) -> Key:
    recipe, config = context.recipe, _config(context.recipe)
    inputs = {name: fingerprint(final_checkpoint(context.run, training_stage(recipe, name))) for name in _stages(recipe)}
    inputs["tokenizer"] = fingerprint(context.folder("tokenizer"))
    data = _data(context)
    if data is not None:
        inputs["data"] = listing_digest(data)
    if recipe.sources:
        inputs["shards"] = fingerprint(context.folder("shards"))
    for name in config.suites:
        inputs |= named_files(getattr(_settings(context), find_suite(name).config))
    # Where the data lie, the digest of what lies there tells.
    return Key("benchmarks", 1, recipe.seed, config.model_dump(mode="json", exclude={"data"}), inputs)


def _build(context: Context, build: Build) -> str:
    config, settings, data = _config(context.recipe), _settings(context), _data(context)
    judge: Subject | None = open_endpoint(settings.judge) if settings.judge is not None else None
    setting = Setting(str(data) if data is not None else None, config.limit, context.recipe.seed, judge)
    look_up = open_look_up(context.run, needed=False)
    for name in _stages(context.recipe):
        subject = open_model(find_target(final_checkpoint(context.run, training_stage(context.recipe, name))))
        for suite in map(find_suite, config.suites):
            folder = build.path / name / suite.name
            work = Work(subject, build.path / name, settings, setting, *(look_up or (None, "")))
            build.summary.setdefault(name, {})[suite.name] = summary_of(score_suite(suite, work, folder))
    return f"{', '.join(config.suites)} of {', '.join(_stages(context.recipe))}"


BENCHMARKS = Stage("benchmarks", "benchmarks", _key, _build, in_place=True)
