"""A question without what a prompt puts around it, as it stands in the documents that hold it."""

import re

__all__ = ["bare_question"]

_BEFORE = re.compile(r"\s*(?:question|q)\s*:\s*", re.IGNORECASE)
_AFTER = re.compile(r"\s*\n\s*(?:answer|a)\s*:\s*$", re.IGNORECASE)
_PASSAGE = re.compile(
    r"\s*(?:passage|context)\s*:\s*(?P<passage>.*\S)\s*\n\s*question\s*:\s*(?P<question>.*\S)", re.IGNORECASE | re.DOTALL
)


def bare_question(shown: str) -> dict[str, str]:
    """Return `question`, and `passage` where one stands before it, of a question as a prompt shows it.

    Without `Question:` before it and `Answer:` on a line behind it. Examples and instructions are not looked for.
    """
    text = _AFTER.sub("", shown)
    if found := _PASSAGE.fullmatch(text.strip()):
        return {"passage": found["passage"], "question": found["question"]}
    label = _BEFORE.match(text)
    return {"question": text[label.end() if label else 0 :].strip()}
