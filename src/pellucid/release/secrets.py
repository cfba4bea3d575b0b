"""No secret and no private path is published: values of the environment are looked for in every byte of a release.

Which values: those of variables whose name says that they are secret, those that look like the tokens of well-known services,
passwords inside addresses; the home folder, the run's own place, the working folder and the folder that Pellucid is installed in;
the names of the machine and of the user. These two, and short paths, are words that texts may hold: they are not looked for in
what is made of texts.
"""

import getpass
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pellucid.core.errors import ArtifactError
from pellucid.release.encodings import forms_of
from pellucid.release.needles import SHORTEST, Needles
from pellucid.release.selection import matches
from pellucid.release.streams import contents_of

__all__ = ["Found", "Private", "private_values", "refuse_private", "scan"]

_SECRET_WORDS = frozenset(
    (
        *("TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "PASS", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "KEY"),
        *("KEYS", "APIKEY", "AUTH", "COOKIE", "DSN", "PAT", "JWT", "BEARER", "SIGNATURE", "PRIVATE"),
    )
)
_SECRET_ENDS = ("TOKEN", "SECRET", "PASSWORD", "APIKEY")
# As the services write them: Hugging Face, GitHub, OpenAI and others, AWS, Slack, GitLab, JSON web tokens.
_TOKEN = re.compile(r"^(hf_|gh[pousr]_|github_pat_|sk-|AKIA|ASIA|xox[abprs]-|glpat-|pypi-|eyJ)[A-Za-z0-9_\-./+=]{12,}$")
_PASSWORD_IN_URL = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_PARTS_OF_A_WORD = 3  # of a path, the root among them
# Made of texts that others wrote, or of numbers: a machine's name may be a word in them.
_TEXTS = (
    *("documents/**/*.parquet", "shards/**", "conversations/**", "*/data/**", "**/samples.jsonl", "report/data.html"),
    *(
        "**/*.safetensors",
        "**/*.gguf",
        "**/*.bin",
        "**/*.npy",
        "tokenizer/*",
        "exports/**",
        "**/curves.items.json",
        "**/items.jsonl",
    ),
    *("code/**", "**/contamination.json", "data-cards/*", "scores/*.jsonl"),
)


@dataclass(frozen=True)
class Private:
    """A value that must not be published, under the name by which the user knows it; `is_word`: texts may hold it by chance."""

    name: str
    value: str
    is_word: bool = False


@dataclass(frozen=True)
class Found:
    """Where one was found: the file, and what inside it where it is packed. Never the value."""

    name: str
    file: str
    inside: str


def private_values(environ: Mapping[str, str], run: Path) -> list[Private]:
    """Return what must not be published from here. Values that are too short to be told from chance are left out."""
    found = [Private(name, value) for name, value in sorted(environ.items()) if _is_secret(name, value)]
    for name, value in sorted(environ.items()):
        found += [Private(f"the password in {name}", word) for word in _PASSWORD_IN_URL.findall(value) if len(word) >= SHORTEST]
    places = {
        "HOME": environ.get("HOME", str(Path.home())),
        "the run's folder": str(run.resolve()),
        "the working folder": str(Path.cwd()),
        "Pellucid's folder": str(_own_place()),
    }
    for name, value in places.items():
        # Texts speak of /home/user and /workspace; a place deeper down is nobody's word.
        if len(value.rstrip("/")) >= SHORTEST:
            found.append(Private(name, value.rstrip("/"), is_word=len(Path(value).parts) <= _PARTS_OF_A_WORD))
    words = {"the machine's name": socket.gethostname(), "the user's name": _user()}
    found += [Private(name, value, is_word=True) for name, value in words.items() if len(value) >= SHORTEST]
    return found


def _is_secret(name: str, value: str) -> bool:
    if len(value) < SHORTEST:
        return False
    words = re.split(r"[^A-Z0-9]+", name.upper())
    return bool(_SECRET_WORDS & set(words)) or name.upper().endswith(_SECRET_ENDS) or bool(_TOKEN.match(value))


def _own_place() -> Path:
    """The checkout that Pellucid runs from, else the folder that it is installed in."""
    package = Path(__file__).resolve().parents[1]
    return package.parents[1] if (package.parents[1] / "pyproject.toml").is_file() else package


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return ""


def scan(folder: Path, files: Iterable[str], private: Iterable[Private], advance: Callable[[int], None]) -> list[Found]:
    """Return where private values stand in these files, in any encoding, also in what is packed in them.

    `advance` is told the size of each file that was read.
    """
    private = list(private)
    everywhere = Needles({one.name: forms_of(one.value) for one in private if not one.is_word})
    with_words = Needles({one.name: forms_of(one.value) for one in private})
    found = []
    for file in files:
        needles = everywhere if any(matches(file, pattern) for pattern in _TEXTS) else with_words
        # A name is published as well.
        found += [Found(name, file, "its name") for name in sorted(needles.find(file.encode() + b"\0" * 4))]
        for inside, chunks in contents_of(folder / file):
            found += [Found(name, file, inside) for name in sorted(needles.find_in(chunks))]
        advance((folder / file).stat().st_size)
    return found


def refuse_private(found: Iterable[Found]) -> None:
    """Raise `ArtifactError` naming variables and files when anything was found; never the values."""
    lines = [f"  {one.name} in {one.file}{f' ({one.inside})' if one.inside else ''}" for one in found]
    if not lines:
        return
    more = [f"  and {len(lines) - 20} more places"] if len(lines) > 20 else []
    raise ArtifactError(
        "nothing was released: values that look private stand in what would be published:\n"
        + "\n".join([*lines[:20], *more])
        + "\nMake the run without them (a recipe's paths are better relative to it), or allow a value with --public NAME."
    )
