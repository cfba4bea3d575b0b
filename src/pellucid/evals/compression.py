"""General compression as a baseline: what `xz -9` makes of the same held-out text."""

import lzma
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pellucid.evals.records import HeldoutDocument

__all__ = ["Compressed", "compress_groups", "xz_compress"]


@dataclass(frozen=True, slots=True)
class Compressed:
    """What a compressor made of some text. Sizes are bytes of UTF-8 and of the whole compressed file, headers included."""

    text_bytes: int
    compressed_bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits of compressed file per byte of text."""
        return 8 * self.compressed_bytes / self.text_bytes


def xz_compress(texts: Iterable[str]) -> Compressed:
    """Return what `xz -9` makes of the texts, concatenated in the given order with nothing between them.

    The compressor sees one long file and may copy from one document into the next, which the model may not: it scores every
    document on its own. It begins without any knowledge of the training text.
    """
    data = "".join(texts).encode()
    return Compressed(len(data), len(lzma.compress(data, format=lzma.FORMAT_XZ, preset=9)))


def compress_groups(documents: Iterable[HeldoutDocument], key: Callable[[HeldoutDocument], str]) -> dict[str, Compressed]:
    """Compress the documents of each group (for example each language) as one file; documents keep their order."""
    groups: dict[str, list[str]] = {}
    for document in documents:
        groups.setdefault(key(document), []).append(document.text)
    return {name: xz_compress(texts) for name, texts in sorted(groups.items()) if any(texts)}
