"""What is run in the sandbox, within which limits, and what came of it.

Imported by the sandboxed child, so nothing but the standard library is used here.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CHECK_MEMORY_BYTES", "SETUP_S", "Check", "Limits", "Measure", "Mode", "Outcome", "Status"]

SETUP_S = 60
"""Within which a sandbox has to stand."""
CHECK_MEMORY_BYTES = 2 << 30
"""Of the process that checks a program."""

Status = Literal["passed", "failed", "timeout", "memory", "killed", "refused"]
"""passed: every statement of the check ran to its end; failed: one did not hold, or the program raised or ended early; timeout: CPU
or wall time; memory: beyond the limit; killed: by a signal; refused: the sandbox could not be set up."""

Measure = Literal["namespaces", "landlock", "seccomp", "nobody"]

Mode = Literal["namespaces", "fallback"]
"""How a program is kept from files and network: by a view of its own, or by Landlock and seccomp without one."""


@dataclass(frozen=True)
class Limits:
    """What one program may use. `cpu_s` are whole seconds, as the kernel counts them."""

    cpu_s: int = 3
    wall_s: float = 15.0
    """Longer than the CPU time, so that a busy machine fails no program; it ends those that sleep or wait."""
    memory_bytes: int = 512 << 20
    file_bytes: int = 16 << 20
    folder_bytes: int = 64 << 20
    files: int = 1000
    open_files: int = 64
    threads: int = 16
    output_bytes: int = 1 << 20
    answer_bytes: int = 16 << 20
    """Of one value that the program hands to its check."""


@dataclass(frozen=True)
class Check:
    """How a program is judged: `code` runs after `setup`, in a process of its own; `remote` names come from the program.

    What the program defines is called there and its values are handed over as plain data (`values`), so the program's process never
    holds the tests, nor the verdict.
    """

    code: str
    remote: tuple[str, ...]
    setup: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one program. `excerpt` says why it did not pass; `output` is the beginning of what it printed."""

    status: Status
    excerpt: str = ""
    output: str = ""
    printed_bytes: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_bytes: int = 0

    @property
    def passed(self) -> bool:
        """Tell whether the check ran to its end."""
        return self.status == "passed"
