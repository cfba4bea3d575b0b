"""What a model and a judge are shown. The wording is ours; what a judge's points mean follows Kamradt's test (2023)."""

from collections.abc import Sequence
from typing import Literal

from pellucid.evals.judging import rating_in
from pellucid.evals.needle.needles import Needle
from pellucid.evals.needle.placing import Frame
from pellucid.evals.subject import Decoding, Message

__all__ = ["RATING", "Style", "decoding", "frame", "judge_conversation", "rating"]

Style = Literal["complete", "chat"]

RATING = (1.0, 10.0)

# One worked question shows a base model what is wanted and where an answer ends. Its place, word and number are in no needle.
_SHOWN = """Text: The lane behind the mill was dry. The lighthouse of Bilbao has a lantern and the number 31764 on its door. The \
miller slept until noon.

Question: Which thing and which number does the lighthouse of Bilbao have on its door?
Answer: A lantern and the number 31764.

Text: """
_CHAT_BEFORE = "Read the text below. A question about it follows.\n\n<text>\n"
_CHAT_AFTER = "\n</text>\n\nAnswer in one short sentence, only from the text: "

_JUDGE = """You grade whether an answer gives back a fact that was hidden in a long text. Look at nothing but that fact: style, \
length and anything else that is true do not count.

Points:
1: the answer has nothing to do with the fact
3: it touches on the subject, but gives nothing of the fact
5: it gives some of the fact, and misses or mistakes much of it
7: it gives the fact, with a small part missing or wrong
10: it gives the whole fact, and nothing against it

Question: {question}
The hidden fact: {fact}
The answer to grade: {answer}

Explain in one sentence. Then end with a line "Rating: N", where N is a whole number from 1 to 10."""


def frame(style: Style, question: str) -> Frame:
    """Return what stands around the haystack: nothing in front depends on the needle, so that prompts share their beginning."""
    if style == "chat":
        return Frame(_CHAT_BEFORE, _CHAT_AFTER + question)
    return Frame(_SHOWN, f"\n\nQuestion: {question}\nAnswer:")


def decoding(style: Style, max_new_tokens: int) -> Decoding:
    """Return how answers are written: greedily, and without a chat format to the end of the line."""
    return Decoding(max_new_tokens=max_new_tokens, stop=() if style == "chat" else ("\n",))


def judge_conversation(needle: Needle, answer: str) -> Sequence[Message]:
    """Return the conversation that asks a judge to rate an answer from 1 to 10."""
    shown = answer.strip() or "(nothing)"
    return ({"role": "user", "content": _JUDGE.format(question=needle.question, fact=needle.sentence, answer=shown)},)


def rating(words: str, is_cut: bool = False) -> float | None:
    """Return the last rating in a judge's words (`judging.rating_in`), or None where there is none from 1 to 10."""
    found = rating_in(words, is_cut)
    value = found[-1] if found else None
    return value if value is not None and RATING[0] <= value <= RATING[1] else None
