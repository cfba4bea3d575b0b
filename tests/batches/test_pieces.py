from collections.abc import Callable
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pellucid.batches.pieces import cut_pieces, runs_of


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_where_the_mask_is_true(mask: list[bool]) -> None:
    again = [False] * len(mask)
    runs = runs_of(np.array(mask, dtype=bool))
    for first, count in runs:
        assert count > 0
        again[first : first + count] = [True] * count
    assert again == mask
    assert all(a + n < b for (a, n), (b, _) in pairwise(runs)), "neighbouring runs would be one"


def cut(text: bytes, parts: list[tuple[int, bool]], masked: set[int]) -> list[dict[str, object]]:
    """Cut bytes as tokens; `parts` are lengths and whether the last byte is an end mark; `masked` are numbers of tokens."""
    documents, at = [], 0
    for tokens, ends in parts:
        documents.append({"from_token": 0, "window_token": at, "tokens": tokens, "ends": ends})
        at += tokens
    masked_T = np.array([k in masked for k in range(1, at)], dtype=bool)
    return cut_pieces(
        np.frombuffer(text, np.uint8).astype(np.uint32), documents, masked_T, lambda ids: bytes(ids).decode(errors="replace")
    )


def test_pieces_are_cut_at_documents_their_ends_and_masks() -> None:
    pieces = cut(b"ab.CDef.gh", [(3, True), (5, True), (2, False)], {3, 4, 8})
    shown = [(piece["document"], piece["text"], piece["masked"], piece["end"]) for piece in pieces]
    assert shown == [
        (0, "ab", False, False),
        (0, ".", False, True),
        (1, "CD", True, False),
        (1, "ef", False, False),
        (1, ".", False, True),
        (2, "g", True, False),
        (2, "h", False, False),
    ]


def test_a_cut_does_not_part_a_character() -> None:
    pieces = cut("漢字".encode(), [(6, False)], {1})
    assert [(piece["text"], piece["masked"]) for piece in pieces] == [("漢", False), ("字", False)]
    assert [piece["text"] for piece in cut(b"\xff\xff\xff\xffx", [(5, False)], {1, 2, 3, 4})] == ["\ufffd", "\ufffd" * 3 + "x"]


@given(st.text(min_size=1, max_size=30), st.sets(st.integers(1, 60)), st.integers(0, 30))
def test_together_the_pieces_are_the_text(text: str, masked: set[int], split: int) -> None:
    data = text.encode()
    first = len(text[:split].encode())
    parts = [(size, False) for size in (first, len(data) - first) if size]
    pieces = cut(data, parts, masked)
    assert "".join(str(piece["text"]) for piece in pieces) == text


def test_what_begins_inside_a_document_is_read_as_following_other_text() -> None:
    ids = np.frombuffer(b"ab.cdefg.", np.uint8).astype(np.uint32)
    parts = ((7, 0, 3), (0, 3, 6))
    documents = [{"from_token": f, "window_token": at, "tokens": tokens, "ends": True} for f, at, tokens in parts]
    masked_T = np.array([k in (5, 6) for k in range(1, 9)])

    def reads(mark: str) -> Callable[[list[int]], str]:
        return lambda ids: mark + bytes(ids).decode()

    pieces = cut_pieces(ids, documents, masked_T, reads("^"), reads("~"))
    assert [piece["text"] for piece in pieces] == ["~ab", "~.", "^cd", "~ef", "~g", "~."]
    assert cut_pieces(ids, documents, masked_T, reads("^"))[0]["text"] == "^ab"
