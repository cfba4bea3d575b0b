"""What the server asks of the training data: where the words of an answer stand in it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["Origins"]


class Origins(Protocol):
    """The training data of the run that is served. Used by one thread at a time, which is not the event loop's."""

    @property
    def share_done(self) -> float:
        """How much of the preparation is done, 0 to 1."""

    @property
    def is_ready(self) -> bool:
        """Whether `look_up` may be called."""

    def prepare(self, is_wanted: Callable[[], bool] = ...) -> None:
        """Make ready; may take minutes, once. Raises `PellucidError` or `OSError` where that cannot be."""

    def look_up(
        self,
        asked: str | Sequence[int],
        *,
        min_tokens: int = ...,
        max_runs: int = ...,
        max_documents: int = ...,
        is_wanted: Callable[[], bool] = ...,
    ) -> dict[str, Any]:
        """Return the runs of tokens that training documents hold, and these. Raises `DataError` for what is no text."""
