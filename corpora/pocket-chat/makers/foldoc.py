"""Definitions: terms of the Free On-line Dictionary of Computing with the first sentence of what it says of them."""

import re
from collections.abc import Iterator
from itertools import pairwise

from makers.facts import Fact, choose, sentences

__all__ = ["definitions"]

NAME = ("What is {}?", "What is {}?", "Tell me what {} is.", "Can you explain what {} is?")
PERSON = ("Who is {}?", "Who is {}?", "Tell me who {} is.")
TERM = ('What does "{}" mean?', 'Define "{}".', 'Explain the term "{}".', 'What is the meaning of "{}"?')
MORE = ("Can you tell me more?", "Please tell me more.", "What else should I know about it?", "Anything else?")
UNFIT = re.compile(r"user@|://|\bftp\b|www\.|[\[\]{}\\|<>*_]|\*|%|--|e-mail|\d{4}-\d\d|\?\)|\.\.|\bsee\b", re.I)
DROPPED = re.compile(r"abuse|jargon|humour|body, abuse|sex|drug|porn|\blove\b|god\b", re.I)
MOST = 240


def definitions(rows: list[dict[str, str]]) -> Iterator[Fact]:
    """Yield a fact for each entry whose first sentence says that it is a, an or the something."""
    seen: set[str] = set()
    for row in rows:
        blocks = row["text"].split("\n\n")
        for place, (term, body) in enumerate(pairwise(blocks)):
            labelled = re.match(r"<([a-z][^<>]*)> (.*)", body, re.S)
            if not labelled or not fit_term(term) or term.casefold() in seen or DROPPED.search(labelled[1]):
                continue
            found = sentences(re.sub(r"^(?:\([^()]*\)|/[^/]+/) *", "", re.sub(r"^(?:\([^()]*\)|/[^/]+/) *", "", labelled[2])))
            if not found or not re.match(r"(?:An?|The) [a-z\d\"A-Z]", found[0]) or not fit(found[0]):
                continue
            seen.add(term.casefold())
            yield definition(row, term, labelled[1], found, place)


def definition(row: dict[str, str], term: str, labels: str, found: list[str], place: int) -> Fact:
    """Return the fact of one entry, its second and third sentence as what follows when one asks for more."""
    value = found[0][0].lower() + found[0][1:]
    more = " ".join(found[1:3])
    if not fit(more):
        more = found[1] if len(found) > 1 and fit(found[1]) else ""
    name = all(word[0].isupper() or word[0].isdigit() for word in term.split())
    person = "person" in labels
    questions = PERSON if person else NAME if name else TERM
    form = f"{term} is {{}}" if person or name else f'"{term}" means {{}}'
    return Fact(
        kind="definition",
        key=f"definition/{term.casefold()}",
        group=f"definition/{'person' if person else 'name' if name else 'term'}",
        question=choose(questions, term, "question").format(term),
        form=form,
        value=value,
        licence=row["licence"],
        origin=row["origin"] + f"#{row['id'].rpartition('@')[2]}",
        follow_up=(choose(MORE, term, "more"), more)
        if more and not re.match(r"(?:Compare|Contrast|See|Version|\()", more)
        else None,
    )


def fit_term(term: str) -> bool:
    """Tell whether an entry's title can stand in a question."""
    return 2 <= len(term) <= 36 and bool(re.fullmatch(r"[A-Za-z\d][\w .+#/'-]*", term)) and not re.fullmatch(r"[\d.]+", term)


def fit(text: str) -> bool:
    """Tell whether a sentence can stand as an answer."""
    balanced = text.count("(") == text.count(")") and text.count('"') % 2 == 0
    return 20 <= len(text) <= MOST and balanced and text[-1] in ".!?" and "\n" not in text and not UNFIT.search(text)
