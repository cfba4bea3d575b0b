"""The suites by name: what each is for, where its settings lie, and the module whose `run` runs it, imported when it is called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pellucid.core.errors import UsageError
from pellucid.evals.results import Records
from pellucid.evals.subject import Setting, Subject
from pellucid.recipe.section import Section

__all__ = ["SUITES", "RunSuite", "Suite", "find_suite"]

RunSuite = Callable[[Subject, Section, Setting, Records], Mapping[str, Any]]
"""Score what `Records` does not hold yet; return JSON values for the result beside the tables: versions, data digests, figures."""


@dataclass(frozen=True)
class Suite:
    """One suite. `run` is the `run` of `module` (or of `module:name`), given the section `config` of `SuitesConfig`.

    `is_judged`: a judge adds scores. `runs_code`: programs of the model are run where that is allowed.
    """

    name: str
    about: str
    module: str
    config: str
    is_judged: bool = False
    runs_code: bool = False

    @property
    def run(self) -> RunSuite:
        """What runs it; imports what it needs."""
        module, _, name = self.module.partition(":")
        run: RunSuite = getattr(import_module(f"pellucid.evals.{module}"), name or "run")
        return run


_HARNESS = "lm-evaluation-harness"
_ALL = (
    Suite(
        "open_llm", "ARC-C 25-shot, HellaSwag 10, MMLU 5, TruthfulQA 0, WinoGrande 5, GSM8K 5", "harness.run:open_llm", "harness"
    ),
    Suite(
        "tinyllama_commonsense", "the seven zero-shot tasks of TinyLlama's Table 2", "harness.run:tinyllama_commonsense", "harness"
    ),
    Suite(
        "instruct_eval",
        "MMLU 5-shot, BBH 3, DROP 3, HumanEval 0 (TinyLlama's Table 3)",
        "harness.run:instruct_eval",
        "harness",
        runs_code=True,
    ),
    Suite(
        "multilingual", "ARC, HellaSwag, TruthfulQA, MMLU, LAMBADA in English and six more", "harness.run:multilingual", "harness"
    ),
    Suite("harness", f"any tasks of {_HARNESS}: --set harness.tasks=[…]", "harness.run:harness", "harness"),
    Suite("choices", "multiple choice and perplexity by the runner that training uses", "choices.run", "choices"),
    Suite("bose", "prompts for base models: light instructions, Blank-ppl, and the stability they buy", "bose.run", "bose"),
    Suite("needle", "needle in a haystack: lengths × depths × seeds, heat map", "needle.run", "needle", is_judged=True),
    Suite("mt_bench", "MT-Bench: two turns graded by a judge (--judge URL)", "mt_bench.run", "mt_bench", is_judged=True),
    Suite("code", "HumanEval and MBPP, pass@k in a sandbox (--allow-code-execution)", "code.run", "code", runs_code=True),
    Suite("reflection", "does the model recover from an error planted in a worked answer", "reflection.run", "reflection"),
)

SUITES: Mapping[str, Suite] = {suite.name: suite for suite in _ALL}


def find_suite(name: str) -> Suite:
    """Return the suite of this name; raise `UsageError` naming those there are."""
    if name not in SUITES:
        raise UsageError(f"there is no suite {name!r}; there are {', '.join(SUITES)}")
    return SUITES[name]
