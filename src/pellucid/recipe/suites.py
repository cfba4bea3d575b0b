"""Settings of the evaluation suites, one section each: `pellucid evaluate … --set needle.depths=5`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pellucid.recipe.section import Section

__all__ = [
    "BoseConfig",
    "ChoicesConfig",
    "CodeConfig",
    "EndpointConfig",
    "HarnessConfig",
    "MTBenchConfig",
    "NeedleConfig",
    "ReflectionConfig",
    "SuitesConfig",
]


class EndpointConfig(Section):
    """A server with OpenAI's interface: llama.cpp, vLLM, a hosted model…, evaluated or judging."""

    url: str = Field(min_length=1, description="Address, such as http://127.0.0.1:8080 or https://api.example.com/v1.")
    model: str | None = Field(None, description="Name of the model there; the first that the server lists when not given.")
    # What is no name is refused where it is used, without showing it: it may be the key itself.
    key_variable: str | None = Field(None, description="Environment variable that holds the key; the key itself goes nowhere.")
    usd_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="Price of what is read; costs are counted with both."
    )
    usd_per_million_new_tokens: float | None = Field(None, ge=0, description="Price of what is written.")
    context_tokens: int | None = Field(None, ge=1, description="Longest sequence; asked of the server when not given.")
    connect_s: float = Field(10.0, gt=0, description="Seconds to reach the server.")
    timeout_s: float = Field(600.0, gt=0, description="Seconds without a byte of the answer before asking again.")
    attempts: int = Field(6, ge=1, description="Times that one request is sent before the suite stops.")
    first_wait_s: float = Field(1.0, ge=0, description="Seconds before the second attempt; doubles up to 60, with jitter.")
    parallel: int = Field(4, ge=1, description="Requests at once.")

    @model_validator(mode="after")
    def _both_prices(self) -> Self:
        if (self.usd_per_million_prompt_tokens is None) != (self.usd_per_million_new_tokens is None):
            raise ValueError("usd_per_million_prompt_tokens and usd_per_million_new_tokens go together: give both or neither")
        return self


class HarnessConfig(Section):
    """Tasks of lm-evaluation-harness, with its prompts and its metrics."""

    tasks: tuple[str, ...] | None = Field(None, description="Tasks by the harness' names, for the suite `harness`.")
    fewshot: int | None = Field(None, ge=0, description="Examples before each question; the task's own number when not given.")


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
    against: str | None = Field(
        None, description="pairwise: folder of the other model's results of this suite, or a file of FastChat's model_answer."
    )
    answer_tokens: int = Field(1024, ge=1, description="Longest answer; a longer one is cut.")
    judge_attempts: int = Field(3, ge=1, description="Times the judge is asked for a verdict before a turn counts as unjudged.")
    reference: str = Field("gpt-4", min_length=1, description="Whose reference answers grade mathematics, reasoning and code.")
    together: int = Field(8, ge=1, description="Questions in one go: what a kill loses at most.")


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
