"""Cleaning: characters, addresses, language of each block, boilerplate that the pages of one file share."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from builder.blocks import Block, Page

__all__ = ["clean_pages", "clean_text", "guess_language"]

FUNCTION_WORDS = {
    "en": "a the and of to in is that for it with as are this be by on from you can which or an not if will has have when your at "
    "using was were each into its than then where what there they their we between no one two must may should see via only other "
    "also more",
    "de": "der die das und ist nicht ein eine mit auf für von den dem des sich im wird werden sie als auch oder bei zu wenn kann",
    "es": "a el la los las de que y en un una es por con para se del al no su como más puede si este esta son o lo pero",
    "fr": "le la les des et est un une du dans pour que qui sur par pas vous ce cette au aux avec ne se ou sont plus être",
    "it": "il la di che e è un una per in con del della dei delle non si sono da come alla nel questo più gli le essere viene",
    "nl": "de het een en van is dat in te voor met op zijn niet die u aan of als worden door wordt kan naar bij om deze uw ook",
    "pt": "o a os as de que e em um uma é para com não do da dos das no na por se como mais pode ou ser seu este ao são",
}
WORD_SETS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
WORD = re.compile(r"[^\W\d_]+")
ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
CONTROL = re.compile(  # control, soft hyphen, zero-width and direction marks, private use, replacement and non-characters
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ue000-\uf8ff\ufeff\ufffc-\uffff\U000e0000-\U0010ffff]"
)
MIN_BYTES = 200


def clean_text(text: str) -> str:
    """Return NFC text without control, zero-width and private characters; e-mail addresses are replaced by a stand-in."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ").replace("\xa0", " ").replace("\u202f", " ")
    text = unicodedata.normalize("NFC", CONTROL.sub("", text))
    text = ADDRESS.sub(lambda found: found[0] if "example." in found[0] else "user@example.org", text)
    text = re.sub(r"[ ]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def guess_language(text: str) -> tuple[str, int, dict[str, int]]:
    """Return the language with most function words, how many it has, and the counts of all."""
    words = Counter(WORD.findall(text.lower()))
    counts = {language: sum(words[word] for word in known) for language, known in WORD_SETS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best, counts[best], counts


def untranslated(text: str, language: str) -> bool:
    """Tell whether a block of prose on a page in another language was left in English."""
    counts = guess_language(text)[2]
    return language != "en" and counts["en"] >= 3 and counts["en"] > 1.8 * counts[language]


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
        english = 0
        for block in page.blocks:
            text = clean_text(block.text) if block.kind != "pre" else clean_listing(block.text)
            if check_language and block.kind != "pre" and untranslated(text, page.language):
                english += len(text)
            elif text and block.text not in shared and not (blocks and blocks[-1].text == text):
                blocks.append(Block(block.kind, text))
        while blocks and blocks[-1].kind == "h":
            blocks.pop()
        prose = " ".join(block.text for block in blocks if block.kind != "pre")
        best, hits, counts = guess_language(prose)
        doubtful = page.language != "en" and counts[page.language] < 1.3 * counts["en"]
        if check_language and (
            doubtful or english > len(prose) or hits < 3 or (best != page.language and hits > 1.2 * counts[page.language])
        ):
            continue
        if sum(len(block.text.encode()) for block in blocks) >= MIN_BYTES:
            kept.append(Page(page.origin, page.language, page.licence, blocks, page.part))
    return kept


def clean_listing(text: str) -> str:
    """Clean a listing: its indentation stays."""
    cleaned = clean_text("|" + text.expandtabs(4))
    return cleaned[1:].strip("\n") if cleaned.startswith("|") else cleaned
