"""A real retrieval program as a `Subject`: it answers with the sentence of its prompt that best matches the question."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pellucid.core.errors import UsageError
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done

TOKENS = re.compile(r" ?\w{1,5}|\s+|.", re.DOTALL)
SENTENCES = re.compile(r"(?<=[.!?])[\"')]*\s+")


class Searcher:
    """Reads the last `reads` tokens of a prompt (None: all) and looks up the question there by the rarity of shared words.

    Tokens are up to five letters with a blank before. It writes nothing but sentences that stand in its prompt.
    """

    def __init__(
        self, reads: int | None = None, context: int | None = 4096, has_chat: bool = False, tells_tokens: bool = True
    ) -> None:
        self.reads, self.has_chat, self.tells_tokens = reads, has_chat, tells_tokens
        self.context_tokens, self.usage, self.label = context, Usage(), "searcher"
        self.identity: Mapping[str, Any] = {"kind": "searcher", "reads": reads}
        self.asked: list[str] = []

    def count_tokens(self, text: str) -> int | None:
        return len(TOKENS.findall(text)) if self.tells_tokens else None

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        assert len(seeds) == len(prompts)
        self.asked += prompts
        on_done(len(prompts))
        return [self._answer(prompt, decoding, 0) for prompt in prompts]

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        if not self.has_chat:
            raise UsageError("searcher has no chat format")
        self.asked += [conversation[-1]["content"] for conversation in conversations]
        return [self._answer(conversation[-1]["content"], decoding, 11) for conversation in conversations]

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise UsageError("searcher has no likelihoods")

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise UsageError("searcher has no likelihoods")

    def _answer(self, prompt: str, decoding: Decoding, around: int) -> Answer:
        tokens = TOKENS.findall(prompt)
        prompt = "".join(tokens if self.reads is None else tokens[-self.reads :])
        question = max(re.findall(r"([^.?!:]*\?)", prompt) or [""], key=prompt.rfind)
        text = prompt[: prompt.rfind(question)]
        text = text[text.rfind("Text:") + 5 if "Text:" in text else 0 :]  # behind the worked question
        known = Counter(re.findall(r"\w+", prompt.casefold()))
        sought = set(re.findall(r"\w+", question.casefold()))

        def match(sentence: str) -> float:
            return math.fsum(1 / known[word] ** 2 for word in sought & set(re.findall(r"\w+", sentence.casefold())))

        found = max(SENTENCES.split(text), key=match)
        said = " ".join(found.split())[: 5 * decoding.max_new_tokens]
        return Answer(said, "stop", len(tokens) + around, len(said) // 5, 0)


@pytest.fixture
def searcher() -> Callable[..., Searcher]:
    return Searcher
