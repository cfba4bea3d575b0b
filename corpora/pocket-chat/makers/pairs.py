"""From facts to conversations and to preference pairs; a fact goes to one of the two, never to both."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from makers.factbook import FUZZY
from makers.facts import Fact, Record, choose, draw
from pellucid.conversations.read import question_digest
from pellucid.core.seeds import heldout

__all__ = ["instructions", "is_for_pairs", "preferences"]

PAIRS_FRAC = {"definition": 0.35, "fact": 0.4, "mathematics": 0.4, "function": 0.0}
FOLLOWED_FRAC = 0.3

HELDOUT_FRAC = 0.1
"""What the recipe holds out of the pairs. Both sides of the split have wrong answers of their own: taken from the other side, they
would be right answers there, and what was learnt of those would be learnt against the held-out pairs, or for them."""

# Scores out of ten, given by a rule: a right answer has 9, or 10 where it shows how it was found; a wrong number 4, the right
# subject with another's facts 3, another calculation than was asked for 2, an answer to another kind of question 1.
WRONG_NUMBER, WRONG_FACT, WRONG_WAY, OFF_TOPIC = 4.0, 3.0, 2.0, 1.0


def is_for_pairs(fact: Fact) -> bool:
    """Tell whether a fact becomes a preference pair; the choice depends on its key alone."""
    return draw("side", fact.key) % 1000 < 1000 * PAIRS_FRAC[fact.kind]


def instructions(facts: Iterable[Fact]) -> Iterator[Record]:
    """Yield one conversation for each fact, or for two of one country, or for an entry with what follows in it."""
    waiting: dict[str, Fact] = {}
    for fact in facts:
        messages = [message("user", fact.question), message("assistant", fact.answer())]
        follows = draw("follow", fact.key) % 1000 < 1000 * FOLLOWED_FRAC
        if fact.follow_up is not None and follows:
            messages += [message("user", fact.follow_up[0]), message("assistant", fact.follow_up[1])]
        if fact.asks_again:
            subject = fact.key.rpartition("/")[0]
            if subject in waiting:
                before = waiting.pop(subject)
                messages = [message("user", before.question), message("assistant", before.answer())]
                messages += [message("user", fact.asks_again), message("assistant", fact.answer())]
                yield record(before, f"{before.key}+{fact.group.partition('/')[2]}", messages)
                continue
            if follows:
                waiting[subject] = fact
                continue
        yield record(fact, fact.key, messages)
    for fact in waiting.values():
        yield record(fact, fact.key, [message("user", fact.question), message("assistant", fact.answer())])


def preferences(facts: Iterable[Fact]) -> Iterator[Record]:
    """Yield a pair for each fact: its answer, and a wrong one of the same kind."""
    sides: dict[bool, list[Fact]] = defaultdict(list)
    kept = list(facts)
    for fact in kept:
        sides[is_held_out(fact)].append(fact)
    for fact in kept:
        rejected, score = wrong_answer(fact, sides[is_held_out(fact)])
        if rejected is None or rejected == fact.answer():
            continue
        yield {
            "id": fact.key,
            "prompt": fact.question,
            "chosen": fact.answer(),
            "rejected": rejected,
            "score_chosen": 10.0 if fact.kind == "mathematics" and " = " in fact.form else 9.0,
            "score_rejected": score,
            "language": "en",
            "kind": fact.kind,
            "licence": fact.licence,
            "origin": fact.origin,
        }


def is_held_out(fact: Fact) -> bool:
    """Tell on which side of the recipe's split a fact's pair will be."""
    return heldout(question_digest([message("user", fact.question)]).hex(), HELDOUT_FRAC)


def wrong_answer(fact: Fact, side: list[Fact]) -> tuple[str | None, float]:
    """Return a wrong answer of a fact's kind, and its score: a slip, another way, another's value, or another question's answer."""
    astray = draw("off topic", fact.key) % 2
    if fact.kind == "mathematics":
        if fact.wrong_way and (astray or not fact.wrong):
            return fact.wrong_way, WRONG_WAY
        return (fact.answer(choose(fact.wrong, fact.key, "wrong")), WRONG_NUMBER) if fact.wrong else (None, 0.0)
    values = [one for one in side if one.group == fact.group and one.value != fact.value]
    if values and not astray and fact.group.partition("/")[2] not in FUZZY:
        return fact.answer(choose(values, fact.key, "other").value), WRONG_FACT
    others = [one for one in side if one.kind == fact.kind and one.group != fact.group]
    return (choose(others, fact.key, "other").answer(), OFF_TOPIC) if others else (None, 0.0)


def message(role: str, content: str) -> dict[str, str]:
    """Return one message."""
    return {"role": role, "content": content}


def record(fact: Fact, key: str, messages: list[dict[str, str]]) -> Record:
    """Return a conversation as a record."""
    return {"id": key, "messages": messages, "language": "en", "kind": fact.kind, "licence": fact.licence, "origin": fact.origin}
