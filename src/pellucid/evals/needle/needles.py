"""Needles: a sentence with a fact that no model can know, the question for it, and whether an answer holds the fact."""

import random
import re
import unicodedata
from dataclasses import dataclass

from pellucid.core.seeds import derive_seed

__all__ = ["PLACES", "Needle", "draw_needles", "score"]

PLACES = (
    *("Aarhus", "Bergamo", "Cusco", "Dundee", "Edmonton", "Freetown", "Ghent", "Hobart", "Izmir", "Jaipur", "Kampala", "Lausanne"),
    *("Malmö", "Nagoya", "Ostrava", "Puebla", "Quito", "Riga", "Sarajevo", "Tampere", "Utrecht", "Valparaíso", "Wroclaw", "Zagreb"),
)
_WORDS = (
    *("acorn", "amber", "banjo", "beetle", "bonsai", "cactus", "canyon", "carrot", "cobalt", "comet", "domino", "falcon", "fiddle"),
    *(
        "garlic",
        "ginger",
        "glacier",
        "hazel",
        "igloo",
        "jasmine",
        "kettle",
        "lemon",
        "lilac",
        "magnet",
        "mango",
        "marble",
        "nectar",
    ),
    *("nutmeg", "orchid", "otter", "papaya", "pepper", "plum", "puzzle", "quartz", "raven", "saffron", "sonnet", "tango", "tulip"),
    *("turnip", "velvet", "violin", "walnut", "willow", "yogurt", "zebra"),
)
_KINDS = (
    (
        "The locker at the {place} station opens with the word {word} and the number {number}.",
        "Which word and which number open the locker at the {place} station?",
    ),
    (
        "The ferry that leaves {place} at dawn is called {word} and carries the hull number {number}.",
        "What is the ferry that leaves {place} at dawn called, and which hull number does it carry?",
    ),
    (
        "The weather post near {place} reports under the name {word} on channel {number}.",
        "Under which name and on which channel does the weather post near {place} report?",
    ),
    (
        "The prize of the {place} fair was a painted {word}, won by ticket {number}.",
        "What was the prize of the {place} fair, and which ticket won it?",
    ),
    (
        "The archive of {place} keeps its map of the {word} garden in drawer {number}.",
        "Of which garden does the archive of {place} keep a map, and in which drawer?",
    ),
)


@dataclass(frozen=True, slots=True)
class Needle:
    """The sentence that is hidden, the question, and the key facts that a right answer holds."""

    sentence: str
    question: str
    facts: tuple[str, ...]


def draw_needles(seed: int, number: int, distractors: int, haystack: str) -> tuple[Needle, tuple[str, ...]]:
    """Return the needle of haystack `number`, and sentences like it about other places.

    Kind, place, word and five-digit number are drawn by the seed. What the haystack already holds as a number is drawn again.
    """
    draw = random.Random(derive_seed(seed, "needle", number))
    sentence, question = draw.choice(_KINDS)
    places = draw.sample(PLACES, 1 + distractors)
    words = draw.sample(_WORDS, 1 + distractors)
    numbers: list[str] = []
    while len(numbers) <= distractors:
        drawn = str(draw.randrange(10_000, 100_000))
        if drawn not in haystack and drawn not in numbers:
            numbers.append(drawn)
    said = [sentence.format(place=p, word=w, number=n) for p, w, n in zip(places, words, numbers, strict=True)]
    return Needle(said[0], question.format(place=places[0]), (words[0], numbers[0])), tuple(said[1:])


def score(answer: str, facts: tuple[str, ...]) -> dict[str, float]:
    """Return `exact`, 1 where the answer holds each key fact, else 0, and `recall`, the share of the facts' words that it holds.

    Whole words are compared, without case, accents apart from their letters (NFKC) or separators of thousands: 48,213 is 48213.
    """
    said = _normal(answer)
    words = list(dict.fromkeys(word for fact in facts for word in re.findall(r"\w+", _normal(fact))))
    found = sum(_holds(said, word) for word in words)
    return {"exact": float(all(_holds(said, _normal(fact)) for fact in facts)), "recall": found / len(words) if words else 0.0}


def _normal(text: str) -> str:
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(r"(?<=\d)[,.'’ ](?=\d{3}(?!\d))", "", text)


def _holds(said: str, fact: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", said) is not None
