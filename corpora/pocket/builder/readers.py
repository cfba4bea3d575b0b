"""Readers: from an unpacked package to pages. Each takes (package, source, language) and yields `Page`s."""

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import yaml
from lxml import etree

from builder.blocks import Block, Page, plain_blocks
from builder.latex import latex_blocks
from builder.markup import html_blocks, mallard_blocks, markdown_blocks, tidy
from builder.packages import Package

__all__ = ["Reader", "conversations", "html_pages", "jar_pages", "json_book", "licences", "mallard", "novels", "rights"]
__all__ += ["source_code", "speeches", "sword_bible", "vignettes"]

Reader = Callable[[Package, str, str], Iterator[Page]]


def html_pages(
    pattern: str, *, root: str = "body", skip: str = r"(^|/)(index|ix\d+|search|genindex|glossary_index)\b", drop: str = ""
) -> Reader:
    """Read HTML files of a glob with `{lang}` in it; `skip` is a pattern of paths left out, `drop` one of classes and ids."""
    unwanted = re.compile(drop) if drop else None

    def dropped(element: etree._Element) -> bool:
        return bool(unwanted and unwanted.search(f"{element.get('class') or ''} #{element.get('id') or ''}"))

    def read(package: Package, licence: str, language: str) -> Iterator[Page]:
        for path, data in package.files(pattern.replace("{lang}", language)):
            if not re.search(skip, path):
                yield Page(package.origin(path), language, licence, html_blocks(data, dropped, root))

    return read


def jar_pages(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the Scilab help: HTML pages in a jar."""
    for _, data in package.files(f"usr/share/scilab/modules/helptools/jar/scilab_{language}*_help.jar"):
        with zipfile.ZipFile(BytesIO(data)) as jar:
            for name in sorted(jar.namelist()):
                if name.endswith(".html") and "section_" not in name and not name.endswith("index.html"):
                    text = re.sub(rb"<span class=\"path\".*?</span>\s*<br", b"<br", jar.read(name), flags=re.S)
                    yield Page(f"{package.name}/{name}", language, licence, html_blocks(text))


def mallard(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the GNOME help pages."""
    folder = {"en": "C", "pt": "pt_BR"}.get(language, language)
    for path, data in package.files(f"usr/share/help/{folder}/gnome-help/*.page"):
        yield Page(package.origin(path), language, licence, mallard_blocks(data))


def vignettes(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the articles that R packages ship as R Markdown or Sweave sources."""
    for path, data in package.files("usr/lib/R/site-library/*/doc/*.Rmd", "usr/lib/R/site-library/*/doc/*.[RS]nw"):
        text = data.decode("utf-8", "replace")
        if "\ufffd" not in text:
            read = markdown_blocks if path.endswith(".Rmd") else latex_blocks
            yield Page(package.origin(path.removeprefix("usr/lib/R/site-library/")), language, licence, read(text))


def json_book(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the chapters of Moby-Dick."""
    for path, data in package.files("package/data/*.json"):
        chapter = json.loads(data)
        if not isinstance(chapter, dict):  # the file that holds all chapters again
            continue
        blocks = [Block("h", f"{chapter['chapter']}. {chapter['title']}".strip()), *plain_blocks(chapter["text"])]
        yield Page(package.origin(path), language, licence, blocks)


def speeches(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the State of the Union addresses."""
    for path, data in package.files("package/data/*.json"):
        speech = json.loads(data)
        if not isinstance(speech, dict):
            continue
        blocks = [Block("h", f"{speech['name']}, {speech['year']}"), *plain_blocks(speech["text"])]
        yield Page(package.origin(path), language, licence, blocks)


def rights(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the Universal Declaration of Human Rights, the preamble and each article a page."""
    code = {"en": "eng", "de": "deu_1996", "es": "spa", "fr": "fra", "it": "ita", "nl": "nld", "pt": "por_PT"}[language]
    for path, data in package.files(f"package/declaration/{code}.html"):
        for number, piece in enumerate(re.split(rb"<article[^>]*>|</header>", data)):
            yield Page(
                package.origin(path), language, licence, html_blocks(b"<body>" + piece.split(b"<body>")[-1]), f"{number:02d}"
            )


def conversations(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the ChatterBot dialogues: each topic a page, each turn a line after a dash."""
    folder = {"en": "english", "de": "german", "es": "spanish", "fr": "french", "it": "italian", "pt": "portuguese", "nl": "dutch"}[
        language
    ]
    for path, data in package.files(f"chatterbot_corpus/data/{folder}/*.yml"):
        blocks: list[Block] = []
        part = size = 0
        for turns in yaml.load(data, Loader=yaml.CSafeLoader).get("conversations") or []:
            said = [tidy(str(turn)) for turn in turns if turn is not None]
            blocks += [Block("dialogue", "\n".join(f"– {turn}" for turn in said))] if said else []
            size += sum(map(len, said))
            if size > 1500:
                yield Page(package.origin(path), language, licence, blocks, f"{part:03d}")
                blocks, size, part = [], 0, part + 1
        yield Page(package.origin(path), language, licence, blocks, f"{part:03d}")


def licences(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the licence texts of the SPDX list."""
    for path, data in package.files("package/licenses/*.json"):
        entry = json.loads(data)
        yield Page(package.origin(path), language, licence, [Block("h", entry["name"]), *plain_blocks(entry["licenseText"])])


def novels(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read Jane Austen's novels from the R package's data base: the strings of its objects, cut at chapter headings."""
    for path, data in package.files(
        "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb", "usr/lib/R/site-library/janeaustenr/R/sysdata.rdb"
    ):
        place = 0
        while place + 4 < len(data):
            found = zlib.decompressobj()
            try:
                raw = found.decompress(data[place + 4 :])
            except zlib.error:
                break
            used = len(data) - place - 4 - len(found.unused_data)
            yield from chapters(package, path, licence, language, raw, place)
            place += 4 + used


def chapters(package: Package, path: str, licence: str, language: str, raw: bytes, place: int) -> Iterator[Page]:
    """Yield the chapters in one serialised R character vector (lines of a novel)."""
    lines: list[str] = []
    here = 0
    while (here := raw.find(b"\x00\x09", here)) >= 0:
        size = int.from_bytes(raw[here + 2 : here + 6], "big")
        if size == 0xFFFFFFFF or size > 200:
            here += 2
            continue
        lines.append(raw[here + 6 : here + 6 + size].decode("utf-8", "replace"))
        here += 6 + size
    for number, chapter in enumerate(re.split(r"\n(?=(?:CHAPTER|Chapter|VOLUME|Volume) [IVXLC\d]+)", "\n".join(lines))):
        head, _, body = chapter.partition("\n")
        if len(body) > 2000:
            yield Page(
                package.origin(path.removeprefix("usr/lib/R/site-library/")),
                language,
                licence,
                [Block("h", head), *plain_blocks(body)],
                f"{place}-{number:02d}",
            )


def sword_bible(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Read the chapters of a SWORD Bible module (zText4 or zText, zlib): verses of OSIS or ThML marks become lines."""
    for half in ("ot", "nt"):
        parts = {path.rpartition(".")[2]: data for path, data in package.files(f"usr/share/sword/modules/texts/ztext/*/{half}.*")}
        kinds = sorted(parts)
        blocks_index, verses_index, texts = (parts[kind] for kind in sorted(kinds, key=lambda kind: kind[-1]))
        books: dict[int, bytes] = {}
        lines: list[Block] = []
        chapter = 0
        for place in range(0, len(verses_index), 10):
            number = int.from_bytes(verses_index[place : place + 4], "little")
            start = int.from_bytes(verses_index[place + 4 : place + 8], "little")
            size = int.from_bytes(verses_index[place + 8 : place + 10], "little")
            if size == 0:
                continue
            if number not in books:
                offset, length = (
                    int.from_bytes(blocks_index[number * 12 + shift : number * 12 + shift + 4], "little") for shift in (0, 4)
                )
                books[number] = zlib.decompress(texts[offset : offset + length])
            verse = books[number][start : start + size].decode("utf-8", "replace")
            text = re.sub(r" ([:;?!])", r"\1", tidy(re.sub(r"<[^>]+>", " ", verse)))
            if lines and (re.search(r"<chapter|<title", verse) or len(lines) >= 60):
                yield Page(f"{package.name}/{half}", language, licence, lines, f"{chapter:04d}")
                lines, chapter = [], chapter + 1
            if text:
                lines.append(Block("line", text))
        if lines:
            yield Page(f"{package.name}/{half}", language, licence, lines, f"{chapter:04d}")


def source_code(*patterns: str, skip: str, comment: str) -> Reader:
    """Read source files; the comment at the top (`comment` is its pattern) goes, cuts fall before top-level definitions."""

    def read(package: Package, licence: str, language: str) -> Iterator[Page]:
        for path, data in package.files(*patterns):
            text = data.decode("utf-8", "replace")
            if re.search(skip, path) or "\ufffd" in text:
                continue
            text = re.sub(rf"\A(?:{comment})", "", text.replace("\r\n", "\n"), flags=re.S | re.M)
            pieces = re.split(
                r"\n(?=(?:async def|def|class|@\w|function|export|template|namespace|const \w+ = \(|/\*\*)[^\n]*)", text
            )
            blocks: list[Block] = []
            for piece in pieces:
                if blocks and len(blocks[-1].text) + len(piece) < 12_000:
                    blocks[-1] = Block("pre", blocks[-1].text + "\n" + piece)
                else:
                    blocks.append(Block("pre", piece))
            for number, block in enumerate(blocks):
                yield Page(package.origin(path), language, licence, [block], f"{number:03d}" if len(blocks) > 1 else "")

    return read
