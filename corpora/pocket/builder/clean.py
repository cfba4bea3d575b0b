"""Cleaning: characters, addresses, language of each block, boilerplate that the pages of one file share."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from builder.blocks import Block, Page

__all__ = ["clean_pages", "clean_text", "guess_language"]

FUNCTION_WORDS = {
    "en": "the and of to in is that for it with as are this be by on from you can which or an not if will has have when your",
    "de": "der die das und ist nicht ein eine mit auf für von den dem des sich im wird werden sie als auch oder bei zu wenn kann",
    "es": "el la los las de que y en un una es por con para se del al no su como más puede si este esta son o lo pero",
    "fr": "le la les des et est un une du dans pour que qui sur par pas vous ce cette au aux avec ne se ou sont plus être",
    "it": "il la di che e è un una per in con del della dei delle non si sono da come alla nel questo più gli le essere viene",
    "nl": "de het een en van is dat in te voor met op zijn niet die u aan of als worden door wordt kan naar bij om deze uw ook",
    "pt": "o a os as de que e em um uma é para com não do da dos das no na por se como mais pode ou ser seu este ao são",
}
WORD_SETS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
WORD = re.compile(r"[^\W\d_]+")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufffc-\ufffe]")
MIN_BYTES = 200


def clean_text(text: str) -> str:
    """Return NFC text without control, zero-width and private characters; e-mail addresses are replaced by a stand-in."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    "))
    text = CONTROL.sub("", text).replace("\xa0", " ").replace("\u202f", " ")
    text = "".join(char for char in text if unicodedata.category(char) not in {"Co", "Cn", "Cs"}) if not text.isascii() else text
    text = ADDRESS.sub(lambda found: found[0] if "example." in found[0] else "user@example.org", text)
    text = re.sub(r"[ ]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def guess_language(text: str) -> tuple[str, int, dict[str, int]]:
    """Return the language with most function words, how many it has, and the counts of all."""
    words = Counter(WORD.findall(text.lower()))
    counts = {language: sum(words[word] for word in known) for language, known in WORD_SETS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best, counts[best], counts


def foreign(text: str, language: str) -> bool:
    """Tell whether a block of prose is clearly in another of the seven languages (an untranslated paragraph)."""
    best, hits, counts = guess_language(text)
    return best != language and hits >= 4 and hits > 1.8 * counts[language]


def shared_blocks(pages: Iterable[Page]) -> set[str]:
    """Return the paragraphs that many pages of one file have in common: footers, notices, standing remarks."""
    seen: Counter[str] = Counter()
    total = 0
    for page in pages:
        total += 1
        seen.update({block.text for block in page.blocks if block.kind != "pre" and len(block.text) >= 40})
    return {text for text, count in seen.items() if count >= max(6, 0.01 * total)}


def clean_pages(pages: list[Page], check_language: bool) -> list[Page]:
    """Clean the pages of one file; pages that are too short, or in another language than they say, are left out."""
    shared = shared_blocks(pages)
    kept = []
    for page in pages:
        blocks: list[Block] = []
        for block in page.blocks:
            text = clean_text(block.text) if block.kind != "pre" else clean_listing(block.text)
            wrong = check_language and block.kind != "pre" and foreign(text, page.language)
            if text and block.text not in shared and not wrong and not (blocks and blocks[-1].text == text):
                blocks.append(Block(block.kind, text))
        while blocks and blocks[-1].kind == "h":
            blocks.pop()
        prose = " ".join(block.text for block in blocks if block.kind != "pre")
        best, hits, counts = guess_language(prose)
        if check_language and (best != page.language and hits > 1.2 * counts[page.language] or hits < 3):
            continue
        if sum(len(block.text.encode()) for block in blocks) >= MIN_BYTES:
            kept.append(Page(page.origin, page.language, page.licence, blocks, page.part))
    return kept


def clean_listing(text: str) -> str:
    """Clean a listing: its indentation stays."""
    cleaned = clean_text("|" + text.expandtabs(4))
    return cleaned[1:].strip("\n") if cleaned.startswith("|") else cleaned
