"""What ran where: the versions and the machine, as they go into every manifest. Nothing heavy is imported to find out."""

import hashlib
import os
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pellucid

__all__ = ["available_memory_bytes", "code_version", "environment", "source_of"]

_CGROUP = Path("/sys/fs/cgroup")
_PACKAGES = (
    "torch",
    "numpy",
    "pyarrow",
    "tiktoken",
    "quicktok-v1",
    "rustbpe",
    "safetensors",
    "gguf",
    "xllamacpp",
    "transformers",
)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the version and a digest of the package's own source, plus the commit when run from a checkout.

    The digest makes an edited installation tell itself apart from the release it claims to be.
    """
    root = Path(pellucid.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    commit = _commit(root)
    return f"{pellucid.__version__}+src.{digest.hexdigest()[:12]}" + (f".git.{commit}" if commit else "")


def source_of(version: str) -> str:
    """Return a `code_version` without its commit: what is the same wherever the same source lies."""
    return version.partition(".git.")[0]


def _commit(root: Path) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return the machine (processor, cores, memory, system) and the versions of the packages that shape results."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "packages": versions,
    }


def available_memory_bytes() -> int:
    """Return the memory that could be taken now without swapping, also under a container's own limit.

    Where the system does not say (only Linux does), all that the machine has.
    """
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = [everything]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        if "MemAvailable" in lines:
            found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    most = _CGROUP / "memory.max"
    if most.is_file() and most.read_text().strip() != "max":
        held = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        # What is held of files is given back when it is needed.
        used = int((_CGROUP / "memory.current").read_text()) - int(held["inactive_file"]) - int(held["active_file"])
        found.append(max(0, int(most.read_text()) - used))
    return min(found)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
