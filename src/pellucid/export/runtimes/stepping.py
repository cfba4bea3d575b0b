"""What the throughput table asks of a program that runs models: sequences that go on together, and when each step was done."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Stepped", "Stepping"]


class Stepped(NamedTuple):
    """Seconds from the call to the end of each step, the first of which read the prompts; and each sequence's new ids."""

    at_s: list[float]
    new: list[list[int]]


class Stepping(Protocol):
    """A program that has a model open and lets sequences of one length go on in step."""

    def steps(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> Stepped:
        """Read the prompts and add `new_tokens` tokens to each, the likeliest ones, whether or not an answer ends there.

        Nothing of earlier calls is reused.
        """
