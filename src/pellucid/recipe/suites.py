"""Settings of the evaluation suites, one section each: `pellucid evaluate … --set needle.depths=5`."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = [
    "BoseConfig",
    "ChoicesConfig",
    "CodeConfig",
    "HarnessConfig",
    "MTBenchConfig",
    "NeedleConfig",
    "ReflectionConfig",
    "SuitesConfig",
]


class HarnessConfig(Section):
    """Tasks of lm-evaluation-harness, with its prompts and its metrics."""

    tasks: tuple[str, ...] | None = Field(
        None,
        description="Suite `harness`: its tasks, groups or tags by name. Other suites: the columns to score; null is all.",
    )
    fewshot: int | None = Field(
        None,
        ge=0,
        description="Suite `harness`: examples before each question; null is each task's own number. Groups have theirs.",
    )


class ChoicesConfig(Section):
    """Multiple choice and perplexity by our own runner, the one that also runs inside training."""

    tasks: tuple[str, ...] = Field(("hellaswag", "arc_easy", "piqa"), description="Names of tasks, or files with items.")


class BoseConfig(Section):
    """Base-model-oriented prompts (BOSE): light instructions in context, and the perplexity of a filled blank."""

    tasks: tuple[str, ...] = Field(("arc_easy", "openbook_qa"), description="Names of tasks, or files with items.")
    shots: int = Field(5, ge=0, description="Worked examples before each open question.")


class NeedleConfig(Section):
    """Needle in a haystack (Stable LM 2 report, Fig. 5)."""

    quick: bool = Field(False, description="A small grid for a CPU instead of lengths × depths × seeds below.")
    lengths: tuple[int, ...] = Field((500, 1000, 1500, 2000, 2500, 3000, 3500, 4000), description="Tokens of the prompt.")
    depths: int = Field(35, ge=1, description="Places of the needle, evenly from the beginning to the end.")
    seeds: int = Field(10, ge=1, description="Haystacks of another order for each length and depth.")
    haystack: str | None = Field(None, description="File or folder of texts to hide the needle in; shipped text when not given.")


class MTBenchConfig(Section):
    """MT-Bench: two turns, answers graded by a judge (Zheng et al. 2023, arXiv 2306.05685)."""

    mode: Literal["single", "pairwise"] = Field("single", description="Grade answers by themselves, or against another model's.")
    against: str | None = Field(None, description="pairwise: folder of the other model's results of this suite.")


class CodeConfig(Section):
    """Programs that a model writes, run against tests (HumanEval, MBPP)."""

    tasks: tuple[Literal["humaneval", "mbpp"], ...] = Field(("humaneval",), description="Which problems.")
    samples: int = Field(1, ge=1, description="Programs written for each problem.")
    ks: tuple[int, ...] = Field((1,), description="k of pass@k, at most `samples`.")
    temperature: float = Field(0.2, ge=0, description="Of the samples; 0 with one sample is greedy.")


class ReflectionConfig(Section):
    """Does a model recover from an error planted in a worked answer?"""

    tasks: tuple[str, ...] = Field(("arithmetic",), description="Names of probes, or files with worked answers.")


class SuitesConfig(Section):
    """Settings of all suites."""

    harness: HarnessConfig = Field(HarnessConfig(), description="Suites of lm-evaluation-harness.")
    choices: ChoicesConfig = Field(ChoicesConfig(), description="Suite choices.")
    bose: BoseConfig = Field(BoseConfig(), description="Suite bose.")
    needle: NeedleConfig = Field(NeedleConfig(), description="Suite needle.")
    mt_bench: MTBenchConfig = Field(MTBenchConfig(), description="Suite mt_bench.")
    code: CodeConfig = Field(CodeConfig(), description="Suite code.")
    reflection: ReflectionConfig = Field(ReflectionConfig(), description="Suite reflection.")
