"""The code that made the run, as it is installed here: a folder that Python imports, with its licence."""

from importlib import metadata
from pathlib import Path

import pellucid
from pellucid.core.environment import code_version, source_of
from pellucid.core.files import write_bytes

__all__ = ["CODE", "code_remark", "write_code"]

CODE = "code"
_PASSED_OVER = ("__pycache__",)


def write_code(out: Path) -> list[str]:
    """Copy Pellucid's package to `out/code/pellucid`, and its licence beside it where it was installed; return the paths."""
    root = Path(pellucid.__file__).parent
    files = sorted(file for file in root.rglob("*") if file.is_file() and not any(part in _PASSED_OVER for part in file.parts))
    written = []
    for file in files:
        if file.suffix in (".pyc", ".so") or file.name.startswith("."):
            continue
        name = f"{CODE}/pellucid/{file.relative_to(root).as_posix()}"
        write_bytes(out / name, file.read_bytes())
        written.append(name)
    try:
        text = metadata.distribution("pellucid").read_text("licenses/LICENSE")
    except metadata.PackageNotFoundError:
        text = None
    if text:
        write_bytes(out / CODE / "LICENSE", text.encode())
        written.append(f"{CODE}/LICENSE")
    return written


def code_remark(versions: list[str]) -> str:
    """Say whether the code that is copied is the one that made the run's artifacts; empty when it is."""
    source = source_of(code_version())
    others = [version for version in versions if source_of(version) != source]
    if not others:
        return ""
    return f"The code in {CODE}/ is {source}; artifacts of the run were made by {', '.join(others)}."
