"""The suites of lm-evaluation-harness: the reports' groups of tasks, or any tasks by name, scored item by item.

Scores are the harness' own: its prompts, its `process_results`, its draws of examples (seed 1234, as in a complete run). What it
does not have is that every item is a record as soon as it is scored, so that a run can be cut off and taken up again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pellucid.core.errors import CannotDoError, DataError, UsageError
from pellucid.core.progress import ProgressBar, progress
from pellucid.evals.code.problems import load as load_problems
from pellucid.evals.code.run import humaneval, limits_of
from pellucid.evals.code.sandbox import Sandbox
from pellucid.evals.harness.catalogue import configurations, look_up
from pellucid.evals.harness.figures import aggregated, average, printed
from pellucid.evals.harness.groups import GROUPS, Benchmark, Group, Member
from pellucid.evals.harness.items import Place, Question, check_labels, documents, questions, same_questions, score
from pellucid.evals.harness.local_data import data_folder, package_folder
from pellucid.evals.harness.model import Requests, need_lm_eval
from pellucid.evals.harness.tasks import FEWSHOT_SEED, HarnessTask, TaskSource
from pellucid.evals.results import Records
from pellucid.evals.sampling import pick
from pellucid.evals.subject import Setting, Subject
from pellucid.recipe.suites import CodeConfig, HarnessConfig

__all__ = ["harness", "instruct_eval", "multilingual", "open_llm", "tinyllama_commonsense"]

_CHUNK = 64  # items asked at once: enough to share beginnings, few enough to lose when a run is cut off
_CHECKED = 32  # recorded items of a task, spread over its data, that are held against the data when a run is taken up


def open_llm(subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score the Open LLM leaderboard's six tasks with its numbers of examples (Stable LM 2, Table 4)."""
    return _run_group(GROUPS["open_llm"], subject, config, setting, records)


def tinyllama_commonsense(subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score the seven zero-shot tasks of TinyLlama's Table 2."""
    return _run_group(GROUPS["tinyllama_commonsense"], subject, config, setting, records)


def instruct_eval(subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score MMLU, BBH and DROP, and HumanEval by the suite `code` where running programs is allowed (TinyLlama, Table 3)."""
    return _run_group(GROUPS["instruct_eval"], subject, config, setting, records)


def multilingual(subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score ARC, HellaSwag, TruthfulQA, MMLU and LAMBADA in seven languages, zero-shot (Stable LM 2, Table 5)."""
    return _run_group(GROUPS["multilingual"], subject, config, setting, records)


def harness(subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> Mapping[str, Any]:
    """Score any tasks, groups or tags of the harness: `config.tasks`, with `config.fewshot` examples or each task's own number."""
    if not config.tasks:
        raise UsageError("the suite harness needs names of tasks: --set 'harness.tasks=[arc_easy, hellaswag]'")
    need_lm_eval()
    found = look_up(config.tasks)
    benchmarks = {}
    for name, configs in found.items():
        members = tuple(Member(one["task"], one["task"] if len(configs) > 1 else None) for one in configs)
        benchmarks[name] = Benchmark(name, "", members, None, config.fewshot), list(zip(members, configs, strict=True))
    return _run(benchmarks, subject, setting, records)


def _run_group(group: Group, subject: Subject, config: HarnessConfig, setting: Setting, records: Records) -> dict[str, Any]:
    if config.fewshot is not None:
        raise UsageError(f"{group.name} has the report's numbers of examples; harness.fewshot is for the suite harness")
    names = [benchmark.name for benchmark in group.benchmarks] + list(group.delegated)
    wanted = config.tasks or tuple(names)
    if unknown := [name for name in wanted if name not in names]:
        raise UsageError(f"{group.name} has no task {', '.join(unknown)}; it has {', '.join(names)}")
    need_lm_eval()
    benchmarks = {benchmark.name: (benchmark, _members(benchmark)) for benchmark in group.benchmarks if benchmark.name in wanted}
    delegated = {name: metric for name, metric in group.delegated.items() if name in wanted}
    facts = _run(benchmarks, subject, setting, records, may_be_empty=bool(delegated))
    for name, metric in delegated.items():
        if found := _programs(subject, setting, records, facts):
            facts["skipped"].append({"task": name, "why": found})
        else:
            facts["printed"][name] = {**printed(Benchmark(name, "", (), metric), records), "parts_missing": 0}
    return {"group": group.name, "source": group.source, **facts, "table": average(group, facts["printed"])}


def _programs(subject: Subject, setting: Setting, records: Records, facts: dict[str, Any]) -> str | None:
    """Score HumanEval into `facts["code"]`, or return why it is skipped: not allowed, no data, no sandbox here."""
    if setting.allow_code_execution:
        try:
            load_problems("humaneval", setting.data)
        except UsageError as error:
            facts["unfinished"] = True
            return str(error)
        try:
            Sandbox(limits_of(CodeConfig())).test()
        except UsageError as error:
            return str(error)
    try:
        facts["code"] = humaneval(subject, setting, records)
    except CannotDoError as error:
        return str(error)
    except UsageError as error:
        if setting.allow_code_execution:
            raise  # of the model: whoever asked has something to put right
        return str(error)
    return None


def _members(benchmark: Benchmark) -> list[tuple[Member, dict[str, Any]]]:
    """Return the harness' configurations of a benchmark; a member that is a pattern becomes one for each task."""
    found = []
    for member in benchmark.members:
        for config in configurations(member.folder or benchmark.folder, member.task):
            part = str(config.get("dataset_name")) if member.part == "" else member.part
            found.append((replace(member, task=config["task"], part=part), config))
    return found


@dataclass(frozen=True)
class _Part:
    """One task of the harness as a part of a benchmark, with the items of it that are chosen."""

    benchmark: str
    part: str | None
    loaded: HarnessTask
    numbers: tuple[int, ...] = ()

    def place(self, number: int) -> Place:
        return Place(self.benchmark, f"{self.part}/{number}" if self.part else str(number), self.part)


_Benchmarks = Mapping[str, tuple[Benchmark, list[tuple[Member, dict[str, Any]]]]]


def _run(
    benchmarks: _Benchmarks, subject: Subject, setting: Setting, records: Records, may_be_empty: bool = False
) -> dict[str, Any]:
    """Score the benchmarks one after another; what has no data, or what this model cannot be asked, is skipped and listed.

    `unfinished` says that data were missing: with them there would be more to score.
    """
    folder = data_folder(setting.data)
    source = TaskSource([folder] if folder else [], package_folder(), use_hub=folder is None)
    facts: dict[str, Any] = {"lm_eval": need_lm_eval(), "fewshot_seed": FEWSHOT_SEED, "tasks": {}, "printed": {}, "figures": {}}
    skipped: list[dict[str, Any]] = []
    missing: list[str] = []
    for name, (benchmark, members) in benchmarks.items():
        parts, lacking = _load(benchmark, members, source)
        if lacking:
            missing.append(lacking["why"])
            skipped.append({**lacking, "why": source.unplaced(lacking["why"])})
        if not parts:
            continue
        chosen = _choose(parts, setting)
        try:
            _score(chosen, subject, setting, records)
        except CannotDoError as error:  # an endpoint without log-probabilities can still answer other tasks
            skipped.append({"task": name, "why": str(error)})
            continue
        own = [record for record in records if record.task == name]
        facts["tasks"][name] = [_facts(part) for part in chosen]
        facts["printed"][name] = {**printed(benchmark, own), "parts_missing": len(members) - len(parts)}
        if figures := aggregated([part.loaded.task for part in parts], own):
            facts["figures"][name] = figures
    if skipped and not facts["tasks"] and not may_be_empty:
        whys = missing or [each["why"] for each in skipped]
        raise (DataError if missing else CannotDoError)("no task could be scored:\n" + "\n".join(f"  {why}" for why in whys[:5]))
    return {**facts, "skipped": skipped, **({"unfinished": True} if missing else {})}


def _load(
    benchmark: Benchmark, members: Sequence[tuple[Member, dict[str, Any]]], source: TaskSource
) -> tuple[list[_Part], dict[str, Any]]:
    """Return the parts that have data, and, when some have none, which and why (of the first)."""
    parts: list[_Part] = []
    missing: dict[str, str] = {}
    with progress(f"{benchmark.name}: data", total=len(members), unit="tasks") as bar:
        for member, config in members:
            try:
                loaded = source.load(config, benchmark.fewshot, benchmark.fewshot_split)
                parts.append(_Part(benchmark.name, member.part, loaded))
            except DataError as error:
                missing[member.part or ""] = str(error)
            bar.advance()
    if not missing:
        return parts, {}
    named = {"parts": list(missing)} if len(members) > 1 else {}
    return parts, {"task": benchmark.name, **named, "why": next(iter(missing.values()))}


def _choose(parts: Sequence[_Part], setting: Setting) -> list[_Part]:
    """Return the parts with their chosen items: all, or `limit` of the whole benchmark by the seed, whatever their order."""
    everything = [(part, number) for part in parts for number in range(len(documents(part.loaded)))]
    everything = pick(
        everything, setting.limit, setting.seed, "harness", parts[0].benchmark, key=lambda item: item[0].place(item[1]).item
    )
    chosen: dict[str, list[int]] = {}
    for part, number in everything:
        chosen.setdefault(part.loaded.name, []).append(number)
    return [replace(part, numbers=tuple(sorted(chosen.get(part.loaded.name, ())))) for part in parts]


def _score(parts: Sequence[_Part], subject: Subject, setting: Setting, records: Records) -> None:
    """Score the chosen items that have no record yet, in chunks, each recorded before the next is asked."""
    _check_recorded(parts, records)
    open_parts = []
    for part in parts:
        numbers = tuple(number for number in part.numbers if not records.has(*part.place(number)[:2]))
        check_labels(part.loaded, numbers)
        open_parts.append(replace(part, numbers=numbers))
    total = sum(len(part.numbers) for part in open_parts)
    if not total:
        return
    requests = Requests(subject, setting.seed)
    asked = ((question, part.place(question.number)) for part in open_parts for question in questions(part.loaded, part.numbers))
    with progress(parts[0].benchmark, total=total, unit="items") as bar:
        while chunk := list(islice(asked, _CHUNK)):
            for record in score(chunk, requests, _as_items(bar, chunk)):
                records.add(record)


def _check_recorded(parts: Sequence[_Part], records: Records) -> None:
    """Raise `UsageError` when records are of other items than these data and this version of the harness would ask."""
    for part in parts:
        known = {number: record for number in part.numbers if (record := records.get(*part.place(number)[:2])) is not None}
        numbers = sorted(known)
        few = sorted({numbers[at * (len(numbers) - 1) // _CHECKED] for at in range(_CHECKED + 1)}) if numbers else []
        check_labels(part.loaded, few)
        for question in same_questions(part.loaded, few):
            if not question.is_of(known[question.number]):
                raise UsageError(
                    f"item {question.number} of {part.loaded.name} is not the one that was scored before: these records were made "
                    "from other data or another version of lm-evaluation-harness: take another --out, or remove the folder"
                )


def _as_items(bar: ProgressBar, chunk: Sequence[tuple[Question, Place]]) -> Any:
    """Return what turns finished requests into finished items of a chunk."""
    return bar.parts(len(chunk) / max(1, sum(question.requests for question, _ in chunk)))


def _facts(part: _Part) -> dict[str, Any]:
    loaded = part.loaded
    named = {"task": loaded.name, **({"part": part.part} if part.part else {})}
    counts = {"fewshot": loaded.fewshot, "items": len(part.numbers), "of": len(documents(loaded))}
    return {**named, **counts, **loaded.facts}
