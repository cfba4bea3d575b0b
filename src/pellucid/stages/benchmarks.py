"""`benchmarks/`: the suites that a recipe asks for, of the models that its training stages ended with."""

from importlib.util import find_spec
from pathlib import Path

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import MissingExtraError, UsageError
from pellucid.evals.endpoint.endpoint import open_endpoint
from pellucid.evals.subject import Setting, Subject
from pellucid.evals.suites import find_suite
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.section import Section
from pellucid.recipe.suites import BenchmarksConfig, SuitesConfig
from pellucid.stages.contamination import open_look_up
from pellucid.stages.run_folder import final_checkpoint, training_stage
from pellucid.stages.stage import Context, Stage
from pellucid.stages.subjects import find_target, open_model
from pellucid.stages.suites import PATH_FIELDS, Work, data_digest, existing, named_files, score_suite, summary_of

__all__ = ["BENCHMARKS", "check_benchmarks"]


def check_benchmarks(loaded: LoadedRecipe) -> None:
    """Raise what would keep the recipe's suites from running, before anything is trained."""
    config = loaded.recipe.evaluate.benchmarks
    if config is None:
        return
    if config.data is not None and not (loaded.base / config.data).is_dir():
        raise UsageError(f"evaluate.benchmarks.data: got {config.data!r}; {loaded.base / config.data} is no folder")
    if any(find_suite(name).config == "harness" for name in config.suites) and find_spec("lm_eval") is None:
        raise MissingExtraError("lm_eval", "eval", "evaluate.benchmarks with suites of lm-evaluation-harness")
    if config.settings.judge is not None and find_spec("httpx") is None:
        raise MissingExtraError("httpx", "eval", "evaluate.benchmarks with a judge behind an endpoint")


def _config(recipe: Recipe) -> BenchmarksConfig:
    assert recipe.evaluate.benchmarks is not None, "the stage is there only when the recipe asks for it"
    return recipe.evaluate.benchmarks


def _stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the names of the training stages whose models are scored."""
    return _config(recipe).stages or (recipe.train[-1].name,)


def _settings(context: Context) -> SuitesConfig:
    """Return the suites' settings with the files and folders that they name found from the recipe's folder."""
    settings, base = _config(context.recipe).settings, context.loaded.base

    def found(field: str, value: object) -> object:
        if isinstance(value, tuple):
            return tuple(found(field, one) for one in value)
        path = existing(base / value) if isinstance(value, str) and value else None
        # A folder may be called like a task.
        return str(path) if path is not None and (path.is_file() or "tasks" not in field) else value

    sections = {name: section for name, section in settings if isinstance(section, Section)}
    return settings.model_copy(
        update={
            name: one.model_copy(update={field: found(field, value) for field, value in one if field in PATH_FIELDS})
            for name, one in sections.items()
        }
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
        inputs["data"] = data_digest(data, None)
    if recipe.sources:
        inputs["shards"] = fingerprint(context.folder("shards"))
    for name in config.suites:
        section = find_suite(name).config
        inputs |= named_files(section, getattr(_settings(context), section))
    settings = config.model_dump(mode="json", exclude={"data"})
    if (judge := config.settings.judge) is not None:
        # How patiently a judge is asked, and what it costs, changes no score.
        settings["settings"]["judge"] = {"url": judge.url, "model": judge.model}
    return Key("benchmarks", 1, recipe.seed, settings, inputs)


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
