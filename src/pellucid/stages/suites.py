"""Suites of one model → an artifact each: `items.jsonl`, a line for every item, and `result.json`, the tables made of them."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.artifacts import Key, building, fingerprint, is_current, is_interrupted
from pellucid.core.environment import code_version, environment
from pellucid.core.errors import ArtifactError, PellucidError
from pellucid.core.files import read_json, sha256_file, write_bytes, write_json
from pellucid.core.lock import run_lock
from pellucid.core.progress import console
from pellucid.core.scores import ITEMS, RESULT, RESULT_SCHEMA
from pellucid.core.units import format_duration
from pellucid.evals.results import Record, Records, summarise
from pellucid.evals.subject import Setting, Subject, Usage
from pellucid.evals.suites import Suite
from pellucid.recipe.section import Section
from pellucid.recipe.suites import SuitesConfig
from pellucid.report.needle import needle_figure
from pellucid.stages.attempt import Work as Attempted
from pellucid.stages.attempt import attempt
from pellucid.stages.run_folder import RECIPE_FILE

__all__ = [
    "PATH_FIELDS",
    "LookUp",
    "Work",
    "data_digest",
    "existing",
    "named_files",
    "run_suite",
    "score_suite",
    "summary_of",
]

_FIGURES = {"needle": needle_figure}

# Settings that may name files.
PATH_FIELDS = ("tasks", "open_tasks", "haystack", "against")
_READ_BYTES = 256 * 2**20

LookUp = Callable[[Records], tuple[Callable[[Record], bool | None], Mapping[str, Any]]]
"""Records → whether an item is in no training text (None: not looked up), and JSON values for the result: contamination."""


@dataclass(frozen=True)
class Work:
    """A model, the folder of its results, and what all suites have in common."""

    subject: Subject
    out: Path
    settings: SuitesConfig
    setting: Setting
    look_up: LookUp | None = None
    look_up_key: str = ""
    """A digest of the training text in which items are looked up."""
    run: Path | None = None
    """The run that the model belongs to: its ledger tells of the attempt."""


def run_suite(suite: Suite, work: Work) -> Path:
    """Run one suite unless its result is current, and return the folder of its artifact.

    Items that an interrupted call has scored are kept and not asked for again; so are those of a call without a judge, without
    leave to run code, or with other training text, to which only what is missing is added. When a suite ends with an error, the
    tables of what is scored so far are written with `complete: false`, and the error goes on.
    """
    folder, config = work.out / suite.name, getattr(work.settings, suite.config)
    with run_lock(work.out, instead="choose another folder with --out DIR"):
        key = _key(suite, work, config)
        if is_current(folder, key) and _is_all(read_json(folder / RESULT), suite, work):
            console.print(f"[dim]{suite.name:<22}unchanged[/dim]", soft_wrap=True)
            return folder
        started = time.monotonic()
        with _attempt(suite, work, key, folder) as attempted:
            with building(folder, key, in_place=True, energy=attempted.energy) as build:
                result = score_suite(suite, work, build.path)
                build.summary.update(summary_of(result))
            attempted.made(folder, build.summary)
        console.print(f"{suite.name:<22}{format_duration(time.monotonic() - started):>12}", soft_wrap=True)
    return folder


def _attempt(suite: Suite, work: Work, key: Key, folder: Path) -> AbstractContextManager[Attempted]:
    """Return the attempt in the ledger of the model's run; one that is written nowhere for a model that has none."""
    if work.run is None:
        return nullcontext(Attempted())
    continues = is_interrupted(folder, key, in_place=True)
    return attempt(work.run, f"evaluate --suite {suite.name}", inputs=dict(key.inputs), continues=continues)


def summary_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest says of a result: items by task."""
    return {"items": {name: table["items"] for name, table in result["tasks"].items()}}


def _key(suite: Suite, work: Work, config: Section) -> Key:
    setting = work.setting
    settings = {
        "suite": suite.name,
        "settings": config.model_dump(mode="json"),
        "limit": setting.limit,
        "subject": _who(work.subject),
    }
    inputs = {"subject": sha256(orjson.dumps(_who(work.subject), option=orjson.OPT_SORT_KEYS)).hexdigest()}
    if setting.data is not None:
        inputs["data"] = data_digest(Path(setting.data), work.out)
    inputs |= named_files(suite.config, config)
    return Key("suite", RESULT_SCHEMA, setting.seed, settings, inputs)


def _asked(suite: Suite, work: Work) -> dict[str, Any]:
    """Return what adds to a result without changing an item that is there."""
    return {
        "judge": _who(work.setting.judge) if suite.is_judged else None,
        "code": work.setting.allow_code_execution if suite.runs_code else None,
        "training_text": work.look_up_key or None,
    }


def _is_all(result: Mapping[str, Any], suite: Suite, work: Work) -> bool:
    """Tell whether a result has everything that is asked for now."""
    return bool(result["complete"]) and result.get("asked") == _asked(suite, work)


def _who(subject: Subject | None) -> dict[str, Any] | None:
    """Return what makes a model the same model: not the machine that it runs on, nor its server's version, address or price."""
    if subject is None:
        return None
    passing = ("device", "server", "url", "usd_per_million_tokens", "unsupported")
    return {name: value for name, value in subject.identity.items() if name not in passing}


def named_files(section: str, config: Section) -> dict[str, str]:
    """Return a digest of every file or folder that a suite's settings name: items, haystacks, another model's answers."""
    named: dict[str, str] = {}
    for field, value in config:
        if field in PATH_FIELDS:
            for place, text in enumerate((value,) if isinstance(value, str) else value or ()):
                if (path := existing(Path(text))) is not None:
                    named[f"{section}.{field}.{place}"] = sha256_file(path) if path.is_file() else data_digest(path, None)
    return named


def existing(path: Path) -> Path | None:
    """Return a path that is there, None for what is none or only looks like one: the name of a task, a long text."""
    try:
        return path if path.exists() else None
    except OSError:  # longer than names can be
        return None


def data_digest(folder: Path, out: Path | None) -> str:
    """Return a digest of a folder's files without `out` and hidden ones; of a run, that of its documents.

    Up to 256 MB of files are known by their bytes, more by size and time of change.
    """
    if not folder.is_dir():
        raise ArtifactError(f"the folder with the benchmarks' data, {folder}, is not there, or is no folder")
    if (folder / RECIPE_FILE).is_file():
        return fingerprint(folder / "documents")
    inside = out.resolve() if out is not None else None
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not (inside is not None and file.resolve().is_relative_to(inside))
    ]
    whole = sum(file.stat().st_size for file in files) <= _READ_BYTES
    known = [sha256_file(file) if whole else f"{file.stat().st_size}@{file.stat().st_mtime_ns}" for file in files]
    names = [str(file.relative_to(folder)) for file in files]
    return sha256(orjson.dumps([names, known])).hexdigest()


def score_suite(suite: Suite, work: Work, folder: Path) -> dict[str, Any]:
    """Run a suite into a folder and return its result. What is scored is kept whatever happens."""
    config = getattr(work.settings, suite.config)
    facts: Mapping[str, Any] = {}
    stopped_by: str | None = None
    spent = _Spent(work, folder / RESULT)
    with Records(folder / ITEMS) as records:
        try:
            facts = suite.run(work.subject, config, work.setting, records)
        except BaseException as error:
            stopped_by = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, PellucidError) and len(records):
                error.args = (f"{error}\n{len(records)} items are scored and kept; give the same command again to go on",)
            raise
        finally:
            result: dict[str, Any] = {
                "schema": RESULT_SCHEMA,
                "suite": suite.name,
                "subject": _described(work.subject),
                "judge": _described(work.setting.judge),
                "complete": stopped_by is None and not facts.get("unfinished"),
                "stopped_by": stopped_by,
                "asked": _asked(suite, work),
                "settings": _without_places(config),
                "setting": {"limit": work.setting.limit, "seed": work.setting.seed, "data": _name(work.setting.data)},
                "versions": _versions(),
                **spent.so_far(),
                "tasks": summarise(records, work.setting.seed),
                "facts": dict(facts),
                "contamination": None,
            }
            write_json(folder / RESULT, result)
        _draw(suite.name, result["facts"], folder)
        if work.look_up is not None:
            is_clean, found = work.look_up(records)
            result |= {"tasks": summarise(records, work.setting.seed, is_clean), "contamination": found}
            write_json(folder / RESULT, result)
    return result


def _draw(name: str, facts: Mapping[str, Any], folder: Path) -> None:
    """Draw a suite's figure into its folder, where it has one and there is something to draw with."""
    if name in _FIGURES and "tables" in facts and find_spec("matplotlib") is not None:
        write_bytes(folder / f"{name}.svg", _FIGURES[name](facts).svg.encode())


def _described(subject: Subject | None) -> dict[str, Any] | None:
    return None if subject is None else {"label": subject.label, **subject.identity}


class _Spent:
    """Seconds, tokens and money of one suite, with those of calls that were interrupted and could still write a result."""

    def __init__(self, work: Work, result: Path) -> None:
        self._started = time.monotonic()
        self._subjects = {"subject": work.subject, "judge": work.setting.judge}
        self._before = {name: None if one is None else replace(one.usage) for name, one in self._subjects.items()}
        self._earlier = read_json(result) if result.is_file() else {}

    def so_far(self) -> dict[str, Any]:
        """Return `seconds`, and `usage` of the subject and of the judge."""
        earlier = self._earlier.get("usage") or {}
        usage = {
            name: None if one is None or before is None else _grown(one.usage, before, earlier.get(name) or {})
            for (name, one), before in zip(self._subjects.items(), self._before.values(), strict=True)
        }
        return {"seconds": round(time.monotonic() - self._started + self._earlier.get("seconds", 0), 3), "usage": usage}


def _grown(usage: Usage, before: Usage, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was used since `before`, and `earlier`; None where the one now is not known."""
    then = asdict(before)
    return {
        name: None if now is None else round(now - (then[name] or 0) + (earlier.get(name) or 0), 6)
        for name, now in asdict(usage).items()
    }


def _without_places(config: Section) -> dict[str, Any]:
    """Return a suite's settings with files and folders by their names alone."""

    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(one) for one in value]
        return Path(value).name if isinstance(value, str) and existing(Path(value)) is not None else value

    return {field: named(value) if field in PATH_FIELDS else value for field, value in config.model_dump(mode="json").items()}


def _name(data: str | None) -> str | None:
    """The folder's name alone: results are not to tell where on a machine things lie."""
    return None if data is None else Path(data).resolve().name


def _versions() -> dict[str, Any]:
    packages = {"pellucid": code_version(), "python": environment().get("python")}
    for package in ("torch", "numpy", "lm_eval", "httpx"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return packages
