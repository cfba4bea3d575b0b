"""SHA256SUMS: one line a file, as `sha256sum -c` reads it."""

from collections.abc import Mapping
from pathlib import Path

from pellucid.core.files import write_bytes

__all__ = ["SUMS", "read_sums", "sums_text", "write_sums"]

SUMS = "SHA256SUMS"


def sums_text(digests: Mapping[str, str]) -> str:
    """Return the lines, sorted by name; a name with a backslash or a line break is escaped as coreutils do."""
    return "".join(_line(name, digests[name]) for name in sorted(digests))


def _line(name: str, digest: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Write `folder/SHA256SUMS`."""
    write_bytes(folder / SUMS, sums_text(digests).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """Return name → digest as written; raise `OSError` when there is no such file, `ValueError` for a line of another form."""
    found = {}
    for number, line in enumerate((folder / SUMS).read_text(encoding="utf-8").splitlines(), start=1):
        marked = line.startswith("\\")
        digest, gap, name = line.removeprefix("\\").partition("  ")
        if not gap or len(digest) != 64:
            raise ValueError(f"line {number} of {folder / SUMS} is no digest with a name")
        found[_unescaped(name) if marked else name] = digest
    return found


def _unescaped(name: str) -> str:
    parts = (part.replace("\\n", "\n").replace("\\r", "\r") for part in name.split("\\\\"))
    return "\\".join(parts)
