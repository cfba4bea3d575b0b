"""Readers of reference works: dictionaries, an encyclopaedia, a factbook, a data base of theorems."""

import bz2
import gzip
import html
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from builder.blocks import Block, Page, plain_blocks
from builder.markup import tidy
from builder.packages import Package
from builder.readers import Reader

__all__ = ["dictionary", "enwiki", "factbook", "littre", "metamath"]

HISTORY = "Contributed|Proof shortened|Revised|Proof modification|New usage|Moved|Revision"


def factbook(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the World Factbook: one page per country, a heading per field."""
    for path, data in package.files("package/*/*.json"):
        blocks: list[Block] = []
        fields(json.loads(data), blocks, "")
        yield Page(package.origin(path), language, licence, blocks)


def fields(value: Any, blocks: list[Block], name: str) -> None:
    """Append the fields of a factbook entry: a field with parts becomes a heading with rows."""
    if set(value) == {"text"}:
        text = tidy(html.unescape(re.sub(r"<[^>]+>", " ", str(value["text"]))))
        blocks.append(Block("line", f"{name}: {text}" if name else text))
        return
    if name:
        blocks.append(Block("h", name))
    for key, inner in value.items():
        if isinstance(inner, dict):
            fields(inner, blocks, key)


def dictionary(pattern: str, drop: str = "") -> Reader:
    """Read a dictd dictionary (gzip): an entry begins in the first column, its text is indented."""
    unwanted = re.compile(drop) if drop else None

    def read(package: Package, licence: str, language: str) -> Iterator[Page]:
        for path, data in package.files(pattern):
            entries = re.split(r"\n(?=\S)", gzip.decompress(data).decode("utf-8", "replace"))
            blocks: list[Block] = []
            size = count = 0
            for entry in entries:
                head, _, body = entry.partition("\n")
                if head.startswith("00-database") or "\ufffd" in entry or not body.strip() or (unwanted and unwanted.search(entry)):
                    continue
                blocks += [Block("h", tidy(head)), *plain_blocks(re.sub(r"[{}]", "", body))]
                size += len(entry)
                if size > 4000:
                    yield Page(package.origin(path), language, licence, blocks, f"{count:05d}")
                    blocks, size, count = [], 0, count + 1
            if blocks:
                yield Page(package.origin(path), language, licence, blocks, f"{count:05d}")

    return read


def littre(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the Littré (StarDict): one in sixteen of its long entries, each a page under the longest form of its word."""
    root = package.root / "usr/share/stardict/dic"
    index = (root / "XMLittre.idx").read_bytes()
    text = gzip.decompress((root / "XMLittre.dict.dz").read_bytes())
    words: dict[tuple[int, int], list[str]] = {}
    place = 0
    while place < len(index):
        end = index.index(b"\0", place)
        offset, size = (int.from_bytes(index[end + 1 + shift : end + 5 + shift], "big") for shift in (0, 4))
        words.setdefault((offset, size), []).append(index[place:end].decode())
        place = end + 9
    for (offset, size), forms in sorted(words.items()):
        word = max(forms, key=lambda form: (len(form), form))
        alike = all(form[:3] == word[:3] for form in forms)  # else other words only refer to this entry
        if alike and 2500 <= size <= 12_000 and zlib.crc32(word.encode()) % 16 == 0:
            lines = re.sub(r"<[^<>]+>", "", text[offset : offset + size].decode("utf-8", "replace")).split("\n")
            blocks = [Block("p", tidy(line)) for line in lines if line.strip()]
            yield Page(f"{package.name}/XMLittre.dict", language, licence, [Block("h", word), *blocks], f"{offset:08d}")


def metamath(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the comments of set.mm: what each definition and theorem says, formulas as they are typed there."""
    for path, data in package.files("usr/share/metamath/databases/set.mm*"):
        text = (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8", "replace")
        blocks: list[Block] = []
        size = count = 0
        for comment in re.findall(r"\$\(\s+(.*?)\s+\$\)", text, flags=re.S):
            comment = re.sub(
                rf"\((?:{HISTORY})[^()]*(?:\([^()]*\)[^()]*)*\)",
                "",
                comment,
            )
            comment = re.sub(
                r"(?:[,;]?\s(?:in|of|from|see|see also|also|by|and))*\s*\[[A-Z][\w']+\](?:\s*p\.\s*[\w-]+)?", "", comment
            ).replace("``", "`")
            comment = re.sub(r"(?:^|\s)~ (\S+)", r" \1", re.sub(r"`\s*(.*?)\s*`", r"\1", comment, flags=re.S))
            if len(comment) < 120 or re.search(r"[=#*-]{6}|\$[ctjv]|htmldef|@|Obsolete|OBSOLETE", comment):
                continue
            blocks += [Block("p", tidy(html.unescape(re.sub(r"</?(?:HTML|sup|sub|i)>", "", comment))))]
            size += len(comment)
            if size > 3000:
                yield Page(package.origin(path), language, licence, blocks, f"{count:05d}")
                blocks, size, count = [], 0, count + 1


def enwiki(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the sample of English Wikipedia articles, wiki markup taken off."""
    for path, data in package.files("gensim/test/test_data/enwiki-latest-pages-articles1*.bz2"):
        text = bz2.decompress(data).decode("utf-8", "replace")
        for found in re.finditer(r"<page>\s*<title>(.*?)</title>.*?<text[^>]*>(.*?)</text>", text, flags=re.S):
            if ":" not in found[1] and not found[2].lower().startswith("#redirect"):
                yield Page(
                    package.origin(path),
                    language,
                    licence,
                    [Block("h", found[1]), *wiki_blocks(found[2])],
                    found[1].replace(" ", "_"),
                )


def wiki_blocks(text: str) -> list[Block]:
    """Return the prose and headings of wiki text; templates, tables, files and references go."""
    text = html.unescape(html.unescape(text))
    text = re.sub(
        r"<!--.*?-->|<ref[^>/]*/>|<(ref|gallery|math|timeline|blockquote|div|table)\b[^>]*>.*?</\1>", "", text, flags=re.S
    )
    for _ in range(6):
        text = re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", "", text)
    text = re.split(r"\n==+\s*(?:References|External links|See also|Further reading|Notes|Bibliography|Footnotes)\s*==+", text)[0]
    for _ in range(3):
        text = re.sub(r"\[\[(?:File|Image|Category)[^\[\]]*(?:\[\[[^\]]*\]\][^\[\]]*)*\]\]", "", text)
    text = re.sub(r"\[\[(?:[^\]|]*\|)?([^\]]*)\]\]", r"\1", re.sub(r"\[https?:\S+ ?([^\]]*)\]", r"\1", text))
    text = re.sub(r"</?[a-z][^>]*>|'{2,}|__\w+__", "", text)
    blocks: list[Block] = []
    for line in text.split("\n"):
        line = tidy(line)
        if heading := re.fullmatch(r"=+ *(.*?) *=+", line):
            blocks.append(Block("h", heading[1]))
        elif line.startswith(("*", "#")) and len(line) > 20:
            blocks.append(Block("li", line.lstrip("*#:; ")))
        elif len(line) > 40 and not re.search(r"[{}|\]\[]", line):
            blocks.append(Block("p", line.lstrip(":; ")))
    return blocks
