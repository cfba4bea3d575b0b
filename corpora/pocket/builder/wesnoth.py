"""Reads the campaigns of Battle for Wesnoth: dialogue and story of each scenario, in scenario order, in each language."""

import gettext
import html
import re
from collections.abc import Iterator
from io import BytesIO

from builder.blocks import Block, Page
from builder.packages import Package

__all__ = ["campaigns"]

TOKEN = re.compile(
    r"^[ \t]*#textdomain[ \t]+(?P<domain>\S+)|^[ \t]*#(?!define|enddef|ifdef|endif|else|ifver).*$|\[(?P<tag>[+/]?\w+)\]"
    r"|(?P<key>\w+)[ \t]*=[ \t]*(?P<mark>_[ \t]*)?(?:\"(?P<text>(?:[^\"]|\"\")*)\"|(?P<word>[^\n\"#]*))"
    r"|\+[ \t]*(?:#[^\n]*)?\n?[ \t]*_?[ \t]*\"(?P<more>(?:[^\"]|\"\")*)\"",
    re.M,
)
SAID = {"message", "story", "description", "note", "summary", "help_text", "text", "caption", "tooltip_description"}


def campaigns(package: Package, licence: str, language: str) -> Iterator[Page]:
    """Yield a page for each WML file that holds text; files with less than 80 % of it translated are left out."""
    folder = {"pt": "pt_BR"}.get(language, language)
    catalogues = {
        path.rpartition("/")[2].removesuffix(".mo"): gettext.GNUTranslations(BytesIO(data))
        for path, data in package.files(f"usr/share/games/wesnoth/*/locale/{folder}/LC_MESSAGES/*.mo")
    }
    for path, data in package.files("usr/share/games/wesnoth/*/data/**/*.cfg"):
        if re.search(r"/(test|gui|languages|themes|hardwired|ai|terrain\w*|lua|editor)/", path):
            continue
        blocks, told, translated = read_wml(data.decode("utf-8", "replace"), catalogues, language)
        if told and translated >= 0.8 * told:
            yield Page(package.origin(path.removeprefix("usr/share/games/")), language, licence, blocks, language)


def read_wml(source: str, catalogues: dict[str, gettext.GNUTranslations], language: str) -> tuple[list[Block], int, int]:
    """Return the blocks of one file, how many strings it says and how many of them are translated."""
    domain, speaker, tag = "wesnoth", "", ""
    blocks: list[Block] = []
    told = translated = 0
    for found in TOKEN.finditer(source):
        if found["domain"]:
            domain = found["domain"]
        elif found["tag"]:
            tag = found["tag"]
            speaker = "" if tag == "message" else speaker
        elif found["key"] in {"speaker", "id"} and tag == "message":
            speaker = (found["word"] or found["text"] or "").strip()
        elif (
            found["mark"] and found["text"] and (found["key"] in SAID or (found["key"] in {"name", "title"} and tag == "scenario"))
        ):
            message = found["text"].replace('""', '"')
            catalogue = catalogues.get(domain)
            text = message if language == "en" else catalogue.gettext(message) if catalogue else message
            told += 1
            translated += language == "en" or text != message
            text = re.sub(r"<[^<>]+>", "", text.partition("^")[2] if re.match(r"[\w ]+\^", text) else text)
            text = " ".join(html.unescape(text).split())
            if text and (language == "en" or text != message):
                name = speaker if found["key"] == "message" and re.match(r"[A-Z][\w' -]+$", speaker) else ""
                kind = "h" if found["key"] in {"name", "title"} else "line" if found["key"] == "message" else "p"
                blocks.append(Block(kind, f"{name}: {text}" if name else text))
    return blocks, told, translated
