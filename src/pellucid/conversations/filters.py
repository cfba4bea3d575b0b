"""What makes a conversation or a pair fit to learn from; what does not is dropped by reason, and what is mended is counted."""

from pellucid.conversations.shapes import Candidate
from pellucid.conversations.turns import Messages, UnfitError
from pellucid.recipe.conversations import ConversationConfig

__all__ = ["sift"]

_CUT_OFF = "what follows the last answer was cut off"
_NO_SYSTEM = "an empty system message was left out"


def sift(candidate: Candidate, source: ConversationConfig) -> tuple[Candidate, list[str]]:
    """Return what is learnt from a record, and what was mended about it.

    A conversation has a system message or none, then user and assistant by turns, to an answer. No turn is empty. Both sides of a
    pair have the same prompt, but for blanks, and the chosen one's is taken. Raises `UnfitError` with the reason otherwise.
    """
    edits: list[str] = []
    messages = _checked(candidate.messages, source.max_turns, edits)
    if candidate.rejected is None:
        return Candidate(messages), edits
    rejected = _checked(candidate.rejected, source.max_turns, [])
    if [_blanks(one["content"]) for one in messages[:-1]] != [_blanks(one["content"]) for one in rejected[:-1]]:
        raise UnfitError("chosen and rejected have different prompts", _where_they_part(messages, rejected))
    if _blanks(messages[-1]["content"]) == _blanks(rejected[-1]["content"]):
        raise UnfitError("chosen and rejected are equal", "has the same answer twice, but for blanks")
    _check_scores(candidate, source)
    return Candidate(messages, [*messages[:-1], rejected[-1]], candidate.chosen_score, candidate.rejected_score), edits


def _checked(messages: Messages, max_turns: int, edits: list[str]) -> Messages:
    answers = [index for index, one in enumerate(messages) if one["role"] == "assistant"]
    if not answers:
        raise UnfitError("no answer", "has no message of the assistant")
    if answers[-1] < len(messages) - 1:
        edits.append(_CUT_OFF)
    messages = messages[: answers[-1] + 1]
    systems = [index for index, one in enumerate(messages) if one["role"] == "system"]
    if len(systems) > 1:
        raise UnfitError("two system messages", f"has {len(systems)} system messages")
    if systems and systems[0] > 0:
        raise UnfitError("system message is not the first", f"has its system message as message {systems[0] + 1}")
    if systems and not messages[0]["content"].strip():
        edits.append(_NO_SYSTEM)
        messages, systems = messages[1:], []
    spoken = messages[len(systems) :]
    for number, one in enumerate(spoken):
        if one["role"] != ("user", "assistant")[number % 2]:
            if number == 0:
                raise UnfitError("the assistant speaks first", "begins with the assistant")
            raise UnfitError("roles out of order", f"has two turns of the {one['role']} in a row, up to turn {number + 1}")
        if not one["content"].strip():
            kind = "answer" if one["role"] == "assistant" else "question"
            raise UnfitError(f"empty {kind}", f"has nothing in turn {number + 1}, of the {one['role']}")
    if len(spoken) > max_turns:
        raise UnfitError("more than max_turns", f"has {len(spoken)} turns; max_turns is {max_turns}")
    return messages


def _check_scores(pair: Candidate, source: ConversationConfig) -> None:
    chosen, rejected, least = pair.chosen_score, pair.rejected_score, source.min_chosen_score
    if least is not None and chosen is None:
        raise UnfitError("chosen score missing", f"has no score of the chosen answer; min_chosen_score is {least:g}")
    if least is not None and chosen is not None and chosen < least:
        raise UnfitError("chosen score under min_chosen_score", f"has a chosen answer of score {chosen:g}, under {least:g}")
    if chosen is None or rejected is None:
        return
    if chosen < rejected:
        raise UnfitError("rejected score is higher", f"has scores {chosen:g} for chosen and {rejected:g} for rejected")
    if chosen == rejected and source.drop_ties:
        raise UnfitError("tied scores", f"has the score {chosen:g} for both answers")


def _blanks(text: str) -> str:
    return " ".join(text.split())


def _where_they_part(chosen: Messages, rejected: Messages) -> str:
    if len(chosen) != len(rejected):
        return f"has {len(chosen)} messages in chosen and {len(rejected)} in rejected"
    number = next(n for n, (one, other) in enumerate(zip(chosen, rejected, strict=True), start=1) if one != other)
    return f"has other words in chosen than in rejected from message {number} on"
