"""What one check found: how much it looked at, what does not hold, and what a reader should know besides."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.core.errors import PellucidError
from pellucid.verify.tree import plain

__all__ = ["Findings", "guarded"]


@dataclass
class Findings:
    """The account of one check. Each fault is a line: the file, what was expected, what is there, and what to do.

    `looked` counts `unit`s (files, events, figures, …). `checked` are names of what was looked at, for those who want them.
    `notes` are no faults: what could not be looked at here and why, and what is only worth knowing.
    """

    name: str
    proves: str
    unit: str
    looked: int = 0
    checked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, file: Path, what: str, fix: str = "") -> None:
        """Note what does not hold of a file."""
        self.faults.append(plain(f"{file} {what}" + (f"; {fix}" if fix else "")))

    def note(self, text: str) -> None:
        """Note what is no fault."""
        self.notes.append(plain(text))


def guarded(findings: Findings, where: Path, check: Callable[[], None]) -> None:
    """Run a part of a check; what it cannot make sense of is a fault of `where`, and the other parts go on."""
    try:
        check()
    except PellucidError as error:
        text = str(error)
        findings.faults.append(plain(text if str(where) in text else f"{where}: {text}"))
    except Exception as error:
        # Whatever reading anybody's file can raise: there is no list of it, and the other checks are to go on.
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        findings.fault(where, f"does not hold what is expected there ({what[:200]})", "restore it from a copy, or make it anew")
