"""Facts of countries: fields of the World Factbook as questions and answers."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from makers.facts import Fact, choose, cut_list, upper_first

__all__ = ["CODES", "FUZZY", "country_facts"]

Row = dict[str, str]

# The names of entries whose document with the name is not in the pocket corpus, by the factbook's codes (FIPS 10-4).
# fmt: off
CODES = {
    "aa": "Aruba", "ae": "the United Arab Emirates", "af": "Afghanistan", "ag": "Algeria", "am": "Armenia", "ar": "Argentina",
    "au": "Austria", "bb": "Barbados", "bg": "Bangladesh", "bl": "Bolivia", "bo": "Belarus", "br": "Brazil", "bt": "Bhutan",
    "bu": "Bulgaria", "bx": "Brunei", "ca": "Canada", "cc": "Curacao", "cg": "the Democratic Republic of the Congo",
    "ci": "Chile", "cs": "Costa Rica", "cv": "Cabo Verde", "cy": "Cyprus", "dj": "Djibouti", "eg": "Egypt", "en": "Estonia",
    "er": "Eritrea", "es": "El Salvador", "fj": "Fiji", "fr": "France", "gr": "Greece", "gt": "Guatemala", "hk": "Hong Kong",
    "ho": "Honduras", "hr": "Croatia", "in": "India", "iv": "Cote d'Ivoire", "ks": "South Korea", "ku": "Kuwait",
    "kz": "Kazakhstan", "lg": "Latvia", "lh": "Lithuania", "li": "Liberia", "lo": "Slovakia", "lt": "Lesotho", "ly": "Libya",
    "md": "Moldova", "mk": "Macedonia", "ml": "Mali", "mx": "Mexico", "ng": "Niger", "nh": "Vanuatu", "nl": "the Netherlands",
    "no": "Norway", "nz": "New Zealand", "pe": "Peru", "pk": "Pakistan", "pl": "Poland", "pm": "Panama", "pu": "Guinea-Bissau",
    "rm": "the Marshall Islands", "ro": "Romania", "rp": "the Philippines", "rw": "Rwanda", "su": "Sudan", "sw": "Sweden",
    "sz": "Switzerland", "td": "Trinidad and Tobago", "th": "Thailand", "ti": "Tajikistan", "to": "Togo",
    "tp": "Sao Tome and Principe", "tt": "Timor-Leste", "tu": "Turkey", "tw": "Taiwan", "ug": "Uganda", "uy": "Uruguay",
    "uz": "Uzbekistan", "ve": "Venezuela", "wa": "Namibia", "ws": "Samoa", "zi": "Zimbabwe",
}
# fmt: on
FUZZY = frozenset({"Location", "Climate", "Terrain", "Natural resources", "Agriculture - products", "Industries", "Languages"})
"""Fields of which another country's value may hold as well."""

WITH_ARTICLE = re.compile(r"Islands$|^(?:Gambia|Bahamas|Comoros)|^Holy See")


class Field(NamedTuple):
    """A field of the factbook that makes a fact: where it is, how it is asked for, what the answer looks like."""

    name: str
    questions: tuple[str, ...]
    asks_again: str
    form: str
    value: Callable[[str], str]


def country_facts(rows: list[Row]) -> Iterator[Fact]:
    """Yield the facts of each country that has a name, at most one for a field."""
    entries: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        entries[row["id"].split("#")[0]].append(row)
    for entry, found in sorted(entries.items()):
        fields: dict[str, tuple[str, Row]] = {}
        for row in found:
            for name, value in read_fields(row["text"]).items():
                fields.setdefault(name, (value, row))
        country = country_name(entry, fields)
        if country is None:
            continue
        for field in FIELDS:
            if field.name not in fields:
                continue
            raw, row = fields[field.name]
            value = field.value(raw)
            if value:
                yield Fact(
                    kind="fact",
                    key=f"fact/{country}/{field.name}",
                    group=f"fact/{field.name}",
                    question=agreeing(choose(field.questions, country, field.name).format(country), country),
                    form=upper_first(agreeing(field.form.replace("{country}", country), country)),
                    value=value,
                    licence=row["licence"],
                    origin=row["origin"],
                    asks_again=field.asks_again,
                )


def read_fields(text: str) -> dict[str, str]:
    """Return the fields of a document: those of one line under their name, those of several under heading/name."""
    fields: dict[str, str] = {}
    for block in text.split("\n\n"):
        lines = block.split("\n")
        if len(lines) == 1 and ": " not in block:
            heading = block
            continue
        for line in lines:
            name, mark, value = line.partition(": ")
            if mark and value:
                fields.setdefault(name, value)
                if lines.index(line) < 5:
                    fields.setdefault(f"{heading}/{name}", value)
    return fields


def country_name(entry: str, fields: dict[str, tuple[str, Row]]) -> str | None:
    """Return how a country is called in a sentence, or None if nothing tells."""
    given = fields.get("conventional short form", ("", None))[0]
    name = given if given and given != "none" else CODES.get(entry.rpartition("/")[2].removesuffix(".json"))
    if name is None or re.search(r"[;(]|note", name):
        return None
    name = name.removeprefix("The ")
    return f"the {name}" if WITH_ARTICLE.search(name) and not name.startswith("the ") else name


def agreeing(sentence: str, country: str) -> str:
    """Return a sentence with its verb in the plural where the country's name is one."""
    if not re.fullmatch(r"the [\w() ]+s", country):
        return sentence
    name = re.escape(country)
    sentence = re.sub(rf"\bis (?={name})", "are ", re.sub(rf"\bdoes (?={name})", "do ", sentence))
    for one, many in (("is", "are"), ("has", "have"), ("borders", "border")):
        sentence = re.sub(rf"^({name}) {one}\b", rf"\1 {many}", sentence)
    return sentence


def plain(most: int) -> Callable[[str], str]:
    """Return a value as it stands, cut at a list's mark where it is longer."""
    return lambda raw: cut_list(re.sub(r" ?\((?:\d{4}|[^()]*est\.)\)", "", raw.partition("; note")[0].partition(" ++ ")[0]), most)


def matched(pattern: str, form: str = "{0}") -> Callable[[str], str]:
    """Return what a pattern's groups hold, in a form; nothing where the value does not match as a whole."""

    def value(raw: str) -> str:
        found = re.fullmatch(pattern, raw)
        return form.format(*found.groups()) if found else ""

    return value


def in_a_row(text: str) -> str:
    """Return 'A, B and C' of 'A, B, C'."""
    first, mark, last = text.rpartition(", ")
    return f"{first} and {last}" if mark else last


def languages(raw: str) -> str:
    """Return the languages named, without shares and remarks, at most five of them."""
    names = [part.strip() for part in re.sub(r"\([^()]*\)|\d[\d.]*%", "", raw).split(",")]
    fine = [name for name in names if re.fullmatch(r"[A-Z][A-Za-z-]+(?: [A-Z]?[a-z]+)?", name) and len(name) < 24]
    return in_a_row(", ".join(fine[:5])) if fine == names[: len(fine)] else ""


def borders(raw: str) -> str:
    """Return the neighbours without lengths."""
    found = re.findall(r"([A-Z][A-Za-z' .-]+?) [\d,.]+ km", raw)
    return in_a_row(", ".join(found)) if 1 <= len(found) <= 9 and "(" not in raw and len(found) == raw.count(" km") else ""


def listed(raw: str) -> str:
    """Return the first entries of a list, up to 110 characters."""
    return in_a_row(plain(110)(re.sub(r" ?\([^()]*\)", "", raw)).replace(";", ","))


DAY = r"(\d{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December)"
FIELDS = (
    Field(
        "Capital/name",
        ("What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}."),
        "And what is its capital?",
        "The capital of {country} is {}.",
        matched(r"([A-Z][\w' .-]+)(?:; note.*| \(.*\))?"),
    ),
    Field(
        "Location",
        ("Where is {}?", "Where in the world is {}?", "Where can I find {} on a map?"),
        "Where is it?",
        "{country} is here: {}.",
        lambda raw: upper_first(plain(150)(raw)),
    ),
    Field(
        "Climate",
        ("What is the climate like in {}?", "What is the weather like in {}?", "Describe the climate of {}."),
        "What is the climate there?",
        "The climate of {country} is {}.",
        lambda raw: plain(130)(raw) if "note" not in raw and ":" not in raw else "",
    ),
    Field(
        "Terrain",
        ("What does the land look like in {}?", "Describe the terrain of {}."),
        "What does the land look like?",
        "The land of {country}: {}.",
        lambda raw: plain(130)(raw) if ":" not in raw else "",
    ),
    Field(
        "Natural resources",
        ("Which natural resources does {} have?", "What are the natural resources of {}?"),
        "Which natural resources does it have?",
        "The natural resources of {country} include {}.",
        lambda raw: listed(raw) if "," in raw and ":" not in raw else "",
    ),
    Field(
        "Agriculture - products",
        ("What is grown in {}?", "What do farmers in {} produce?"),
        "What do farmers produce there?",
        "Farmers in {country} produce {}.",
        lambda raw: listed(raw) if "," in raw and ":" not in raw else "",
    ),
    Field(
        "Industries",
        ("Which industries does {} have?", "What is made in {}?"),
        "Which industries are there?",
        "The industries of {country} include {}.",
        lambda raw: listed(raw) if "," in raw and ":" not in raw and "world's" not in raw and "sector" not in raw else "",
    ),
    Field(
        "Languages",
        ("Which languages are spoken in {}?", "What do people speak in {}?"),
        "Which languages are spoken there?",
        "In {country} people speak {}.",
        languages,
    ),
    Field(
        "highest point",
        ("What is the highest point of {}?", "Which is the highest place in {}?"),
        "What is its highest point?",
        "The highest point of {country} is {}.",
        matched(r"([A-Z][\w' ./-]+?) ([\d,]+) m(?:;.*|\(.*)?", "{0}, at {1} metres"),
    ),
    Field(
        "Area/total",
        ("How large is {}?", "What is the area of {}?"),
        "How large is it?",
        "{country} has an area of {}.",
        matched(r"([\d,.]+) sq km(?:;.*| \(.*)?", "{0} square kilometres"),
    ),
    Field(
        "Area - comparative",
        ("How big is {} compared with American places?", "What is {} about as big as?"),
        "What is the country about as big as?",
        "{country} is {}.",
        matched(r"((?:about|slightly|almost|more|less|approximately|roughly)[^;:]{10,90})(?:;.*)?"),
    ),
    Field(
        "Coastline",
        ("How long is the coastline of {}?", "How many kilometres of coast does {} have?"),
        "How long is its coastline?",
        "The coastline of {country} is {} long.",
        matched(r"([1-9][\d,.]*) km(?: \(.*)?", "{0} kilometres"),
    ),
    Field(
        "border countries",
        ("Which countries border {}?", "What are the neighbours of {}?"),
        "Which countries border it?",
        "{country} borders {}.",
        borders,
    ),
    Field(
        "Internet country code",
        ("What is the Internet country code of {}?", "How do Internet addresses from {} end?"),
        "What is its Internet country code?",
        "The Internet country code of {country} is {}.",
        matched(r"(\.[a-z]{2})(?:;.*)?"),
    ),
    Field(
        "adjective",
        ("What is the adjective for {}?", "How do you call something from {}?"),
        "What is the adjective for it?",
        "Something from {country} is called {}.",
        matched(r"([A-Z][a-z][A-Za-z -]+)"),
    ),
    Field(
        "Exchange rates",
        ("What is the currency of {}?", "How does one pay in {}?"),
        "What is its currency?",
        "In {country} one pays in {}.",
        matched(r"((?:[A-Z][a-z]+ )*[A-Za-z]+s? \([A-Z]{3}\)) per US dollar.*"),
    ),
    Field(
        "National holiday",
        ("What is the national holiday of {}?", "When is the national holiday of {}?"),
        "When is its national holiday?",
        "The national holiday of {country} is {}.",
        matched(r"([A-Z][A-Za-z' ()-]+, \d{1,2} [A-Z][a-z]+) \(\d{4}\)(?:;.*)?"),
    ),
    Field(
        "Independence",
        ("When did {} become independent?", "Since when is {} independent?"),
        "When did it become independent?",
        "{country} became independent on {}.",
        matched(DAY + r" \d{4}) \((from [^();]+)\)(?:;.*)?", "{0}, {1}"),
    ),
    Field(
        "National symbol(s)",
        ("What is the national symbol of {}?", "Which symbol stands for {}?"),
        "What is its national symbol?",
        "The national symbol of {country} is the {}.",
        matched(r"(?!national)([a-z][a-z' -]+)(?: \(.*?\))?(?:;.*)?"),
    ),
)
