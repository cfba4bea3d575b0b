"""What tells a released folder from a run: `release.json`, and `SHA256SUMS`, a line a file as `sha256sum -c` reads it."""

import re
from collections.abc import Mapping
from pathlib import Path

from pellucid.core.files import write_bytes

__all__ = ["RELEASE", "SUMS", "read_line", "sums_text", "write_sums"]

RELEASE, SUMS = "release.json", "SHA256SUMS"

# A name with a backslash or a line break has these escaped, as coreutils do, and its line begins with a backslash.
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_PLAIN = {escaped: char for char, escaped in _ESCAPES.items()}
_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")


def sums_text(digests: Mapping[str, str]) -> str:
    """Return the lines, sorted by name."""
    return "".join(_line(name, digests[name]) for name in sorted(digests))


def write_sums(folder: Path, digests: Mapping[str, str]) -> None:
    """Write `folder/SHA256SUMS`."""
    write_bytes(folder / SUMS, sums_text(digests).encode())


def read_line(line: str) -> tuple[str, str] | None:
    """Return name and digest of a line, its end taken off; None where it is not just as `sums_text` writes it."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    name = re.sub(r"\\.", lambda escape: _PLAIN.get(escape[0], escape[0]), match[3]) if match[1] else match[3]
    return (name, match[2]) if _line(name, match[2]) == f"{line}\n" else None


def _line(name: str, digest: str) -> str:
    escaped = re.sub(r"[\\\n\r]", lambda char: _ESCAPES[char[0]], name)
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
