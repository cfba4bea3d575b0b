"""Does a text say that something was wrong? By words, so by a rule that can be read, and coarser than a judge."""

import re

__all__ = ["recognises"]

_WORDS = re.compile(
    r"\b(?:mistake\w*|error\w*|incorrect\w*|wrong\w*|miscalculat\w*|correction|(?:not|isn't|wasn't) (?:right|correct)"
    r"|(?:should|must) (?:be|have been)|let me (?:re)?(?:check|calculate|do)|(?:double|re)-?check\w*"
    r"|recalculat\w*|redo|actually|oops|instead of)\b",
    re.IGNORECASE,
)


def recognises(text: str) -> bool:
    """Tell whether a text has words of correction: mistake, wrong, should be, let me check, actually…

    Such a word is neither needed to recover from an error nor proof of it; a text without an error that has one is a false alarm.
    """
    return _WORDS.search(text) is not None
