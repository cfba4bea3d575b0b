"""What suites, tasks and metrics are called where people read them and not programs."""

from collections.abc import Iterable

from pellucid.core.scores import higher_is_better, lower_is_better, unit_of

__all__ = ["METRICS", "chosen_metric", "metric_title", "suite_title", "task_title"]

METRICS = {
    "acc": "accuracy",
    "acc_norm": "accuracy, per character",
    "acc_bytes": "accuracy, per byte",
    "mass": "probability of the right answer among the choices",
    "nats": "nats of the right answer",
    "bits_per_byte": "bits per byte",
    "exact_match": "exact match",
    "final_right": "final answer right",
    "prefers_right": "the right way on is the likelier one",
    "carried_on": "final answer carries the error on",
    "speaks_of_error": "answer speaks of an error",
    "margin_nats": "nats by which the right way on is likelier",
    "recovered": "recovered",
    "recall": "recall",
}
_SUITES = {
    "open_llm": "Open LLM Leaderboard",
    "tinyllama_commonsense": "Commonsense (TinyLlama)",
    "instruct_eval": "InstructEval",
    "multilingual": "Multilingual",
    "harness": "lm-evaluation-harness",
    "choices": "Multiple choice",
    "bose": "Prompts for base models",
    "needle": "Needle in a haystack",
    "mt_bench": "MT-Bench",
    "code": "Code",
    "reflection": "Recovery from a planted error",
}
_TASKS = {
    "arc_challenge": "ARC-C",
    "arc_easy": "ARC-E",
    "boolq": "BoolQ",
    "gsm8k": "GSM8K",
    "hellaswag": "HellaSwag",
    "humaneval": "HumanEval",
    "mbpp": "MBPP",
    "mmlu": "MMLU",
    "mt_bench": "MT-Bench",
    "openbookqa": "OpenBookQA",
    "piqa": "PIQA",
    "truthfulqa_mc2": "TruthfulQA",
    "winogrande": "WinoGrande",
}
# What the reflection suite puts behind a score's name: which of its four prompts the score is of.
_CONDITIONS = {
    "error_trigger": "after an error, with a trigger",
    "right_trigger": "after no error, with a trigger",
    "error": "after an error",
    "right": "after no error",
}


def suite_title(name: str) -> str:
    """Return what a suite is called."""
    return _SUITES.get(name) or _plain(name).capitalize()


def task_title(name: str) -> str:
    """Return what a task is called: its name without underscores where there is no better one."""
    return _TASKS.get(name) or _plain(name)


def metric_title(name: str) -> str:
    """Return what a metric is called; what stands behind a comma in its name is the filter of lm-evaluation-harness."""
    bare, _, chosen = name.partition(",")
    told = METRICS.get(bare)
    for ending, condition in _CONDITIONS.items():
        if told is None and bare.endswith(f"_{ending}") and (score := METRICS.get(bare.removesuffix(f"_{ending}"))) is not None:
            told = f"{score}, {condition}"
    told = told or _plain(bare)
    return f"{told} ({_plain(chosen)})" if chosen not in ("", "none") else told


def chosen_metric(names: Iterable[str]) -> str | None:
    """Return which of a task's metrics tells most in one number: a share of which more is better before others."""
    known = list(names)
    better = [name for name in known if higher_is_better(name)]
    shares = [name for name in better if unit_of(name, ()) == "percent"]
    return next(iter([*shares, *better, *filter(lower_is_better, known), *known]), None)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip()
