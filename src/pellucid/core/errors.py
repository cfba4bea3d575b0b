"""The errors a user can meet. Each says the field, the value, the limit and the fix; each knows its exit status."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ArtifactError",
    "CannotDoError",
    "DataError",
    "DiskFullError",
    "EndpointError",
    "EngineClosedError",
    "MissingExtraError",
    "PellucidError",
    "PellucidWarning",
    "Problem",
    "RecipeError",
    "RunLockedError",
    "StoppedError",
    "TrainingError",
    "UsageError",
]


class PellucidWarning(UserWarning):
    """Something worth reading that does not stop the work."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what was found, what would be right, and the nearest fix."""

    field: str
    message: str
    fix: str = ""


class PellucidError(Exception):
    """Base of all errors that are shown without a traceback. `exit_status` is what the command line returns."""

    exit_status = 1

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is otherwise made anew from `args`, which an __init__ with other parameters does not take; the error of a
        # worker process would then break the pool instead of being shown.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[PellucidError], args: tuple[Any, ...], state: dict[str, Any]) -> PellucidError:
    """Return an error as it was, without its __init__, which has already made the message."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(PellucidError):
    """The call is wrong: an argument, a folder that is no run, a step that does not exist."""

    exit_status = 2


class CannotDoError(UsageError):
    """This kind of model cannot do what is asked: an endpoint without log-probabilities, a base model that is to chat."""


class EngineClosedError(UsageError):
    """An engine was asked that takes nothing more: it was closed, or its device failed for good."""


class RecipeError(PellucidError):
    """All problems of one recipe, shown at once."""

    exit_status = 2

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        width = min(40, max((len(p.field) for p in self.problems), default=0)) + 3
        lines = [f"{count} in {path}"]
        for problem in self.problems:
            lines.append(f"  {problem.field:<{width}}{problem.message}")
            if problem.fix:
                lines.append(f"  {'':<{width}}{problem.fix}")
        super().__init__("\n".join(lines))


class DataError(PellucidError):
    """A source or a record cannot be used as it is."""


class ArtifactError(PellucidError):
    """An artifact on disk is missing, cut short, altered or of another kind than expected."""


class RunLockedError(PellucidError):
    """Another process is working in the same run directory."""


class TrainingError(PellucidError):
    """Training cannot go on (for example too many non-finite steps in a row). The last good checkpoint is intact."""


class DiskFullError(PellucidError):
    """The file system has no room. What was already finished is intact."""


class EndpointError(PellucidError):
    """A server that was asked does not answer, or not with what its interface promises. What it answered before is intact."""


class MissingExtraError(PellucidError):
    """An optional dependency is needed for what was asked."""

    exit_status = 2

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}; install it with: pip install 'pellucid[{extra}]'")


class StoppedError(PellucidError):
    """A signal asked the work to stop and its state was saved; exit status is 128 + the signal's number."""

    def __init__(self, signal_number: int, message: str) -> None:
        self.exit_status = 128 + signal_number
        super().__init__(message)
