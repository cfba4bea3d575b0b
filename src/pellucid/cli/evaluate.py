"""`pellucid evaluate`: a recipe's own held-out scores, or suites of benchmarks on any model."""

import argparse
import hashlib
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pellucid.cli.output import print_json, print_table, print_text
from pellucid.cli.run import command as run_stage_of_recipe
from pellucid.cli.run import stop_at_signal
from pellucid.core.errors import PellucidWarning, UsageError
from pellucid.core.files import read_json
from pellucid.core.scores import RESULT
from pellucid.core.signals import signals_handled

__all__ = ["command"]


def command(arguments: argparse.Namespace) -> int:
    """Run a recipe's stage, or suites."""
    if arguments.target.endswith((".yaml", ".yml")):
        if arguments.suite:
            raise UsageError("--suite is for a model; give its run, for example: pellucid evaluate runs/pocket --suite choices")
        if given := [flag for flag, value in _of_suites(arguments).items() if value]:
            raise UsageError(f"{', '.join(given)}: for suites of a model; a recipe has evaluate.benchmarks")
        arguments.recipe = arguments.target
        return run_stage_of_recipe(arguments)
    with signals_handled(stop_at_signal, signal.SIGTERM):
        return _suites(arguments)


def _of_suites(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the flags that only suites have, with what was given."""
    names = ("data_dir", "limit", "out", "judge", "shards", "allow_code_execution", "json")
    return {"--" + name.replace("_", "-"): getattr(arguments, name) for name in names} | {"--seed": arguments.seed != 1}


def _suites(arguments: argparse.Namespace) -> int:
    from pellucid.evals.suites import SUITES, find_suite

    if not arguments.suite:
        about = "\n".join(f"  --suite {suite.name:<22} {suite.about}" for suite in SUITES.values())
        raise UsageError(f"say what to evaluate:\n{about}")
    suites = [find_suite(name) for name in dict.fromkeys(arguments.suite)]
    if arguments.limit is not None and arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit}: must be at least 1")
    work, results = _work(arguments), []
    from pellucid.stages.suites import run_suite

    for suite in suites:
        folder = run_suite(suite, work)
        result = read_json(folder / RESULT)
        results.append(result)
        if not arguments.json:
            _print(result, folder)
    if arguments.json:
        print_json(results)
    return 0


def _work(arguments: argparse.Namespace) -> Any:
    """Open the model, the judge and the shards that a call names."""
    from pellucid.evals.subject import Setting, Subject
    from pellucid.recipe.suite_settings import load_suite_settings
    from pellucid.stages.contamination import open_look_up
    from pellucid.stages.subjects import Target, find_target, is_url, open_model
    from pellucid.stages.suites import Work

    named = {"endpoint": arguments.target, "judge": arguments.judge}
    settings = load_suite_settings(
        arguments.overrides, {f"{role}.url": target for role, target in named.items() if target is not None and is_url(target)}
    )

    def open_subject(role: str, target: str) -> tuple[Subject, Target | None]:
        if is_url(target):
            from pellucid.evals.endpoint.endpoint import open_endpoint

            return open_endpoint(getattr(settings, role)), None
        found = find_target(Path(target))
        return open_model(found), found

    if settings.judge is not None and arguments.judge is None:
        raise UsageError("--set judge.…: there is no judge; name it with --judge URL")
    subject, target = open_subject("endpoint", arguments.target)
    judge = open_subject("judge", arguments.judge)[0] if arguments.judge is not None else None
    shards = Path(arguments.shards) if arguments.shards is not None else target.run if target is not None else None
    look_up = open_look_up(shards, needed=arguments.shards is not None) if shards is not None else None
    out = Path(arguments.out) if arguments.out is not None else _results_of(subject, target)
    setting = Setting(
        data=arguments.data_dir,
        limit=arguments.limit,
        seed=arguments.seed,
        judge=judge,
        allow_code_execution=arguments.allow_code_execution,
    )
    if subject.context_tokens is None:
        warnings.warn(
            f"{subject.label} does not tell how long its context is; say so with --set endpoint.context_tokens=N",
            PellucidWarning,
            2,
        )
    found, key = look_up or (None, "")
    return Work(subject, out, settings, setting, found, key, run=target.run if target is not None else None)


def _results_of(subject: Any, target: Any) -> Path:
    """Return where results go unless told otherwise."""
    if target is not None:
        return Path(target.results(subject.identity["digest"]))
    address = hashlib.sha256(str(subject.identity["url"]).encode()).hexdigest()[:8]
    return Path("evals") / f"{subject.label}-{address}"


def _print(result: Mapping[str, Any], folder: Path) -> None:
    rows = list(_rows(result["tasks"]))
    columns = [
        "task",
        "metric",
        "value",
        "± stderr",
        "95 % interval",
        "items",
        "cut",
        *(["clean"] if result["contamination"] else []),
    ]
    print_table(columns, rows, title=f"{result['suite']}: {result['subject']['label']}", right=(2, 3, 5, 6))
    facts = result["facts"]
    average = (facts.get("table") or {}).get("average")
    if isinstance(average, int | float):
        print_text(f"the report's average: {average:.4g}, of the metrics that it prints (pellucid compare {folder} --printed)")
    for skipped in facts.get("skipped", ()):
        print_text(f"left out: {skipped['task']}: {skipped['why']}")
    if unjudged := _unjudged(facts):
        print_text(unjudged)
    print_text(f"each item, and by what it was scored: {folder}")


def _unjudged(facts: Mapping[str, Any]) -> str | None:
    """Say how much is in no mean because the judge gave no verdict on it; None where it gave one on everything."""
    judge = facts.get("judge") or {}
    count = facts.get("unjudged_turns") or judge.get("unjudged")
    if not count:
        return None
    reasons = facts.get("no_verdict") or judge.get("no_verdict") or {}
    said = ", ".join(f"{times} × {reason}" for reason, times in sorted(reasons.items()))
    return f"in no mean, as the judge gave no verdict: {count}{said and f' (its answers: {said})'}"


def _rows(tasks: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """Yield a row for each metric of each task, and of each group where there are few."""
    for name, table in sorted(tasks.items()):
        yield from _metrics(name, table, table)
        groups = table.get("groups", {})
        if 1 < len(groups) <= 10:
            for group, part in groups.items():
                yield from _metrics(f"  {group}", part, {})


def _metrics(name: str, table: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    clean = whole.get("clean", {}).get("metrics", {})
    for number, (metric, value) in enumerate(table["metrics"].items()):
        interval = "" if value["low"] is None else f"{value['low']:.4g} to {value['high']:.4g}"
        error = "" if value["stderr"] is None else f"{value['stderr']:.2g}"
        of_clean = clean.get(metric, {}).get("value")
        yield (
            "" if number else name,
            metric,
            "" if value["value"] is None else f"{value['value']:.4g}",
            error,
            interval,
            value["items"],
            whole.get("cut_items", "") or "",
            "" if of_clean is None else f"{of_clean:.4g} ({clean[metric]['items']})",
        )
