"""The main text of a web page, as RefinedWeb and FineWeb take it."""

from pellucid.core.errors import MissingExtraError

__all__ = ["main_text"]

# Segments of one page that are compared with each other; trafilatura's own default.
_SEGMENTS = 4096


def main_text(page: str) -> str | None:
    """Return the main text of an HTML page, without comments, or None when there is none or when the page cannot be parsed.

    trafilatura with the settings of FineWeb (Penedo et al. 2024, section 3.2; datatrove's extractor): precision before recall,
    repeated segments once. Two of its settings would make a page's text depend on what was read before it, or on the machine's
    speed, and are otherwise here: repetition is looked for in the page alone, and there is no time limit.

    Raises `MissingExtraError` without trafilatura.
    """
    try:
        from trafilatura import extract
        from trafilatura.deduplication import LRUCache
    except ImportError as error:
        raise MissingExtraError("trafilatura", "web", "taking the text from HTML") from error
    try:
        text = extract(page, favor_precision=True, include_comments=False, deduplicate=LRUCache(maxsize=_SEGMENTS))
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, AssertionError):
        return None
    return text or None
