"""A `Subject` as a model of lm-evaluation-harness, so that its tasks and its own `simple_evaluate` can score it.

For scores equal to those of the harness' `HFLM` on the same weights, `Subject.loglikelihoods(pairs)` has to do with a pair what
HFLM does with a request (`lm_eval.api.model.TemplateLM.loglikelihood`, `models/huggingface.py`); nothing is left to this adapter:

1. White space at the end of a context (`len(context) - len(context.rstrip())` characters, line ends too) is moved to the beginning
   of the continuation.
2. The two are encoded as one text; the context's tokens are as many as encoding the context alone gives, the others are the
   continuation's. A tokenizer that begins every text with a BOS token does so for both.
3. An empty context is one token: BOS, or EOS where the tokenizer has no BOS. A continuation that begins with that token lends it:
   it is then not scored.
4. Of context and continuation together the last `context_tokens + 1` tokens are kept; the last of them is scored but not read.
5. nats = -sum of ln p over the continuation's tokens; `greedy` when each of them is the argmax.

`rolling` reads BOS/EOS + text in windows of `context_tokens` tokens that do not overlap in what they score; a window but the first
reads, before its own tokens, the token that precedes them, and the last one as much of what is before as fits
(`lm_eval.utils.get_rolling_token_windows` with `context_len=1`). `complete` keeps the last `context_tokens - max_new_tokens` tokens
of a prompt and ends at EOS. HFLM leaves special tokens out of an answer, so it does not end at one that a task names as a stop.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.errors import ArtifactError, MissingExtraError, UsageError
from pellucid.core.seeds import derive_seed
from pellucid.evals.subject import Answer, Decoding, Likelihood, OnDone, Pair, Subject, nothing_done

__all__ = ["decoding_of", "need_lm_eval", "subject_lm"]

_MAX_NEW_TOKENS = 256  # HFLM's default
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # in the harness' order of precedence


def need_lm_eval(purpose: str = "a suite of lm-evaluation-harness") -> str:
    """Return the version of `lm_eval`; raise `MissingExtraError` when it is not installed."""
    try:
        import lm_eval
    except ImportError as error:
        raise MissingExtraError("lm_eval", "eval", purpose) from error
    return str(lm_eval.__version__)


def decoding_of(settings: Mapping[str, Any]) -> Decoding:
    """Return how a request of a task is decoded: greedy unless it asks for samples, 256 new tokens unless it says otherwise.

    Raises `UsageError` for `temperature` below 0.
    """
    until = settings.get("until") or []
    stop = (until,) if isinstance(until, str) else tuple(until)
    limit = next((settings[name] for name in _LIMITS if settings.get(name) is not None), _MAX_NEW_TOKENS)
    temperature = float(settings.get("temperature") or 0.0)
    if temperature < 0:
        raise UsageError(f"a task asks for temperature {temperature}; it must be 0 or more")
    sampled = settings.get("do_sample", temperature > 0)
    return Decoding(
        max_new_tokens=int(limit),
        temperature=temperature if sampled else 0.0,
        top_k=int(settings["top_k"]) if sampled and settings.get("top_k") else None,
        top_p=float(settings.get("top_p") or 1.0) if sampled else 1.0,
        stop=tuple(text for text in stop if text),
    )


class Requests:
    """Asks a subject what instances of the harness ask. Answers keep what the harness' own types leave out."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self._subject, self._seed = subject, seed

    def likelihoods(self, instances: Sequence[Any], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return the likelihood of each (context, continuation); raise `ArtifactError` where it is no number."""
        pairs = [Pair(*instance.args[:2]) for instance in instances]
        return _finite(self._subject, self._subject.loglikelihoods(pairs, on_done), instances)

    def rolling(self, instances: Sequence[Any], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return the likelihood of each whole text; raise `ArtifactError` where it is no number."""
        texts = [instance.args[0] for instance in instances]
        return _finite(self._subject, self._subject.rolling(texts, on_done), instances)

    def answers(self, instances: Sequence[Any], on_done: OnDone = nothing_done) -> list[Answer]:
        """Return the completion of each context. An instance that is given twice is drawn with two seeds."""
        answers: list[Answer | None] = [None] * len(instances)
        ways: dict[Decoding, list[int]] = {}
        drawn: dict[int, int] = {}
        seeds = []
        for number, instance in enumerate(instances):
            ways.setdefault(decoding_of(instance.args[1]), []).append(number)
            time = drawn[id(instance)] = drawn.get(id(instance), -1) + 1
            seeds.append(derive_seed(self._seed, "harness", str(instance.task_name), int(instance.doc_id or 0), time))
        for decoding, numbers in ways.items():
            prompts = [instances[number].args[0] for number in numbers]
            found = self._subject.complete(prompts, decoding, [seeds[number] for number in numbers], on_done)
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer
        return [answer for answer in answers if answer is not None]


def _finite(subject: Subject, found: list[Likelihood], instances: Sequence[Any]) -> list[Likelihood]:
    for likelihood, instance in zip(found, instances, strict=True):
        if math.isnan(likelihood.nats):
            raise ArtifactError(
                f"{subject.label} gives no number for item {instance.doc_id} of {instance.task_name} (NaN): its weights or its "
                "precision are at fault. Items scored so far are kept"
            )
    return found


def subject_lm(subject: Subject, seed: int = 1) -> Any:
    """Return a subject as an `lm_eval.api.model.LM`, for `lm_eval.simple_evaluate(model=…)`. `seed` is that of sampled answers.

    Raises `MissingExtraError` without `lm_eval`.
    """
    need_lm_eval()
    from lm_eval.api.model import LM

    requests = Requests(subject, seed)

    class SubjectLM(LM):  # type: ignore[misc]
        """The three questions of the harness, put to a subject."""

        tokenizer_name = subject.label

        def loglikelihood(self, instances: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            return [(-found.nats, found.greedy) for found in requests.likelihoods(instances)]

        def loglikelihood_rolling(self, instances: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            return [-found.nats for found in requests.rolling(instances)]

        def generate_until(self, instances: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            return [answer.text for answer in requests.answers(instances)]

    return SubjectLM()
