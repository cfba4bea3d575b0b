"""The task groups of both reports as data: which tasks of the harness, with how many examples, and which figure is printed.

Sources: Stable LM 2 (arXiv 2402.17834) Tables 4 and 5, TinyLlama (arXiv 2401.02385) Tables 2 and 3. Reports name no metric; the
printed ones are those of the Open LLM leaderboard of the time, and `acc_norm` where the harness has it, which is what gives the
figures that TinyLlama's Table 2 prints for Pythia.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["GROUPS", "LANGUAGES", "Benchmark", "Group", "Member"]

LANGUAGES = ("de", "es", "fr", "it", "nl", "pt")


@dataclass(frozen=True)
class Member:
    """One task of the harness, or all that begin so when the name ends in *.

    `part` is what it is of the benchmark: a language, or "" for the configuration of its data (a subject); None: all of it.
    """

    task: str
    part: str | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Benchmark:
    """One column of a report: tasks of the harness that lie in `folder` of its tasks, and their printed metric.

    `fewshot` None is each task's own number of examples; `fewshot_split` is where the harness' own group of the leaderboard takes
    them from, None leaves it to the task.
    """

    name: str
    folder: str
    members: tuple[Member, ...]
    metric: str | None
    fewshot: int | None = 0
    fewshot_split: str | None = None
    over_parts: bool = False
    """The printed figure is the mean of the parts' own means, each counting alike; otherwise the mean over all items."""
    rule: str = "mean over items"
    note: str | None = None
    averaged: bool = True
    """Part of the table's average; LAMBADA is reported beside the translated four."""


@dataclass(frozen=True)
class Group:
    """A table of a report. `delegated` are columns that another suite fills, with their metric: {column: metric}.

    The average is of the columns; `by_part`: of the parts (languages), each of which is the mean of its columns.
    """

    name: str
    source: str
    benchmarks: tuple[Benchmark, ...]
    delegated: Mapping[str, str] = field(default_factory=dict)
    by_part: bool = False


def _one(name: str, folder: str, metric: str, fewshot: int = 0, fewshot_split: str | None = None) -> Benchmark:
    return Benchmark(name, folder, (Member(name),), metric, fewshot, fewshot_split)


def _mmlu(over_parts: bool) -> Benchmark:
    subjects = "mean over the 57 subjects' accuracies, as the leaderboard has it; `mean over items` is the harness' own mmlu"
    items = "mean over items, as InstructEval and the harness have it; `mean over parts` is the mean over subjects"
    members = (Member("mmlu_*", ""),)
    return Benchmark("mmlu", "mmlu/default", members, "acc", 5, over_parts=over_parts, rule=subjects if over_parts else items)


def _languages(
    name: str, folder: str, pattern: str, metric: str, english: Member | None = None, averaged: bool = True
) -> Benchmark:
    first = english or Member(pattern.format("en"), "en")
    members = (first, *(Member(pattern.format(language), language) for language in LANGUAGES))
    rule = "mean over items; the table prints the mean of each language's benchmarks"
    return Benchmark(name, folder, members, metric, rule=rule, averaged=averaged)


_OPEN_LLM = Group(
    "open_llm",
    "Stable LM 2, Table 4",
    (
        _one("arc_challenge", "arc", "acc_norm", 25, "train"),
        _one("hellaswag", "hellaswag", "acc_norm", 10, "train"),
        _mmlu(over_parts=True),
        _one("truthfulqa_mc2", "truthfulqa", "acc"),
        _one("winogrande", "winogrande", "acc", 5, "train"),
        _one("gsm8k", "gsm8k", "exact_match,strict-match", 5),
    ),
)
_COMMONSENSE = Group(
    "tinyllama_commonsense",
    "TinyLlama, Table 2",
    (
        _one("hellaswag", "hellaswag", "acc_norm"),
        _one("openbookqa", "openbookqa", "acc_norm"),
        _one("winogrande", "winogrande", "acc"),
        _one("arc_challenge", "arc", "acc_norm"),
        _one("arc_easy", "arc", "acc_norm"),
        _one("boolq", "super_glue/boolq", "acc"),
        _one("piqa", "piqa", "acc_norm"),
    ),
)
_OWN_PROMPTS = "The report used InstructEval's own code: prompts of the harness are close to its prompts, not the same."
_INSTRUCT = Group(
    "instruct_eval",
    "TinyLlama, Table 3",
    (
        _mmlu(over_parts=False),
        Benchmark(
            "bbh",
            "bbh/fewshot",
            (Member("bbh_fewshot_*", ""),),
            "exact_match",
            fewshot=3,
            over_parts=True,
            rule="mean over the subtasks' scores, as InstructEval has it; `mean over items` is the harness' own bbh_fewshot",
            note=_OWN_PROMPTS,
        ),
        Benchmark("drop", "drop", (Member("drop"),), "em", fewshot=3, note=_OWN_PROMPTS),
    ),
    {"humaneval": "pass@1"},
)
_OKAPI, _LAMBADA = "okapi/{}_multilingual", "lambada_multilingual_stablelm"
_MULTILINGUAL = Group(
    "multilingual",
    "Stable LM 2, Table 5",
    (
        _languages("arc_multilingual", _OKAPI.format("arc"), "arc_{}", "acc_norm", Member("arc_challenge", "en", "arc")),
        _languages(
            "hellaswag_multilingual",
            _OKAPI.format("hellaswag"),
            "hellaswag_{}",
            "acc_norm",
            Member("hellaswag", "en", "hellaswag"),
        ),
        _languages(
            "truthfulqa_multilingual",
            _OKAPI.format("truthfulqa"),
            "truthfulqa_{}_mc2",
            "acc",
            Member("truthfulqa_mc2", "en", "truthfulqa"),
        ),
        _languages("mmlu_multilingual", _OKAPI.format("mmlu"), "m_mmlu_{}", "acc"),
        _languages("lambada_multilingual", _LAMBADA, "lambada_openai_mt_stablelm_{}", "acc", averaged=False),
    ),
    by_part=True,
)

GROUPS: Mapping[str, Group] = {group.name: group for group in (_OPEN_LLM, _COMMONSENSE, _INSTRUCT, _MULTILINGUAL)}
