"""Conversations of the chatterbot corpus, in seven languages: what is kept, by rules that are written down and counted."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

import yaml
from builder.packages import Package

from makers.facts import Record

__all__ = ["FOLDERS", "LICENCE", "REASONS", "conversations"]

LICENCE = "BSD-3-Clause"
FOLDERS = {"en": "english", "de": "german", "es": "spanish", "fr": "french", "it": "italian", "nl": "dutch", "pt": "portuguese"}
MAX_MESSAGES = 8
MAX_CHARACTERS = 400

REASONS = {
    "about itself": "topics in which another bot talks of what it is and feels, or people are insulted or flattered: "
    "ai, botprofile, emotion, gossip, psychology, compliment and their translations",
    "of no use": "coding, whose indices in square brackets were lost, and unilab, about the staff of one university",
    "who are you": "somebody is asked who, what, or where they are or what they program in, and another persona answers",
    "offensive": "a word for killing, suicide, guns, drugs, sex or a people made fun of",
    "unanswered": "fewer than two messages, or one of them empty",
    "damaged": "letters lost in a wrong encoding, all capitals, or a language that is not the file's",
    "long": f"a message of more than {MAX_CHARACTERS} characters",
    "duplicate": "the same messages once more, whatever their case, accents and punctuation",
    "held out": "read in a held-out document of the pocket corpus",
}
"""Why a conversation is dropped, in the order in which the reasons are tried."""

PERSONA = {
    *("ai", "ia", "botprofile", "perfilbot", "origen", "gossip", "psychology", "psicologia"),
    *("emotion", "emozione", "emociones", "compliment"),
}
NO_USE = {"coding", "unilab"}
ALTERNATIVES = {("english", "computers"), ("italian", "computers"), ("spanish", "greetings"), ("french", "conversations")}
"""Topics where a list is one message and several answers to it, not a dialogue."""
DIALOGUES = {"conversations", "greetings", "health", "sports", "movies", "games", "suggestions"}
"""Topics where a list of more than two is a dialogue; in any other it is questions and answers by turns."""

WHO = re.compile(
    r"\b(?:who|what|how old|where) are you\b(?! (?:doing|working|trying|feeling))|your ?self\b|your name"
    r"|are you an? (?:robot|programmer)|what languages do you like|man in a mask"
    r"|wer bist du|erzähl mir etwas über dich|bist du ein (?:roboter|programmierer)"
    r"|qui es-tu|quels? langages? utilises|quién eres|háblame de ti|eres +(?:un robot|programador)"
    r"|chi sei|dimmi qualche cosa di te|sei un (?:robot|programmatore)|quali linguaggi"
    r"|wie ben j|vertel me over jezelf|welke programmeer"
    r"|quem é você|o que você é|fale-me sobre você|você é um (?:robô|programador)|seu nome|sou um bot|porque eu sou uma"
    r"|complex is better than complicated|zen (?:of|de|del) python",
    re.I,
)
OFFENSIVE = re.compile(
    r"\b(?:kill(?:ed|er)?|murder\w*|suicid\w*|hitler|guns?|sex\w*|drunk|cocaine|sinsemill?ia|stoned|terror\w*|geisha|eskimos?"
    r"|eschimesi|assassin[oi]|plezierrobot|pleasure bot|naked|nud[eo]|balls|race!|mierda|bosta|pistol\w*)\b",
    re.I,
)
DAMAGED = re.compile(r"\w[·Ë]\w?|[a-zà-ÿ][ÍÙÌ]|^\W*$|�|\bque veut dire\b|Space Race was|Soviet Union and the United")


def conversations(package: Package, language: str, held_out: str, counts: Counter[str]) -> Iterator[Record]:
    """Yield the conversations of one language as records; `counts` takes a number for each reason of REASONS, and those read.

    `held_out` is the text of held-out documents of the pocket corpus in this language.
    """
    folder = FOLDERS[language]
    seen: set[str] = set()
    for path, data in package.files(f"chatterbot_corpus/data/{folder}/*.yml"):
        topic = path.rpartition("/")[2].removesuffix(".yml")
        lists = yaml.load(data, Loader=yaml.CSafeLoader).get("conversations") or []
        for number, found in enumerate(lists):
            for part, turns in enumerate(dialogues(found, folder, topic)):
                counts["read"] += 1
                turns = [readable(turn) for turn in turns]
                reason = why_not(turns, topic.casefold(), language, held_out)
                same = bare("\n".join(turns))
                if reason is None and same in seen:
                    reason = "duplicate"
                if reason is not None:
                    counts[reason] += 1
                    continue
                seen.add(same)
                counts["kept"] += 1
                yield {
                    "id": f"chatterbot.{language}/{topic}/{number}" + (f".{part}" if part else ""),
                    "messages": [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)],
                    "language": language,
                    "kind": topic,
                    "licence": LICENCE,
                    "origin": f"pypi:chatterbot-corpus/{path.removeprefix('chatterbot_corpus/')}",
                }


def dialogues(found: object, folder: str, topic: str) -> Iterator[list[str]]:
    """Yield the dialogues of one entry, each of an even number of messages, at most MAX_MESSAGES."""
    if not isinstance(found, list):
        yield []
        return
    turns = ["" if turn is None else str(turn) for turn in found]
    if (folder, topic) in ALTERNATIVES:
        yield from ([turns[0], answer] for answer in turns[1:])
    elif topic in DIALOGUES or len(turns) <= 2:
        yield turns[: min(len(turns) // 2 * 2, MAX_MESSAGES)]
    else:
        yield from (turns[start : start + 2] for start in range(0, len(turns) - 1, 2))


def readable(text: str) -> str:
    """Return a message in NFC, its white space collapsed."""
    return " ".join(unicodedata.normalize("NFC", text).replace("’", "'").split()).strip("\" '") if text else ""


def bare(text: str) -> str:
    """Return a text's letters and digits without case and accents."""
    letters = "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))
    return re.sub(r"\W+", " ", letters).strip()


def why_not(turns: list[str], topic: str, language: str, held_out: str) -> str | None:
    """Return the reason for which a conversation is dropped, a key of REASONS, or None."""
    everything = "\n".join(turns)
    said = "\n".join(f"– {turn}" for turn in turns)
    tests = {
        "about itself": topic in PERSONA,
        "of no use": topic in NO_USE,
        "who are you": bool(WHO.search(everything)),
        "offensive": bool(OFFENSIVE.search(everything)),
        "unanswered": len(turns) < 2 or not all(turns),
        "damaged": bool(DAMAGED.search(everything))
        or any(len(turn) > 7 and turn == turn.upper() != turn.lower() for turn in turns),
        "long": max(map(len, turns), default=0) > MAX_CHARACTERS,
        "held out": bool(turns) and said in held_out,
    }
    return next((reason for reason in REASONS if tests.get(reason)), None)
