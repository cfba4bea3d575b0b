"""From facts to conversations and to preference pairs; a fact goes to one of the two, never to both."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from makers.factbook import FUZZY
from makers.facts import Fact, Record, choose, draw

__all__ = ["instructions", "is_for_pairs", "preferences"]

PAIRS_FRAC = {"definition": 0.35, "fact": 0.4, "mathematics": 0.4, "function": 0.0}
FOLLOWED_FRAC = 0.3

# Scores out of ten, given by a rule: a right answer has 9, or 10 where it shows how it was found; a wrong number 4, the right
# subject with another's facts 3, an answer to another question 1.
WRONG_NUMBER, WRONG_FACT, OFF_TOPIC = 4.0, 3.0, 1.0


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
    groups: dict[str, list[Fact]] = defaultdict(list)
    kept = list(facts)
    for fact in kept:
        groups[fact.group].append(fact)
    for fact in kept:
        rejected, score = wrong_answer(fact, groups[fact.group])
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


def wrong_answer(fact: Fact, group: list[Fact]) -> tuple[str | None, float]:
    """Return a wrong answer of a fact's kind, and its score: a slip, another's value, or the answer to another question."""
    if fact.wrong:
        return fact.answer(choose(fact.wrong, fact.key, "wrong")), WRONG_NUMBER
    others = [one for one in group if one.value != fact.value]
    if not others or fact.kind == "mathematics":
        return None, 0.0
    other = choose(others, fact.key, "other")
    if fact.group.partition("/")[2] in FUZZY or draw("off topic", fact.key) % 2:
        return other.answer(), OFF_TOPIC
    return fact.answer(other.value), WRONG_FACT


def message(role: str, content: str) -> dict[str, str]:
    """Return one message."""
    return {"role": role, "content": content}


def record(fact: Fact, key: str, messages: list[dict[str, str]]) -> Record:
    """Return a conversation as a record."""
    return {"id": key, "messages": messages, "language": "en", "kind": fact.kind, "licence": fact.licence, "origin": fact.origin}
