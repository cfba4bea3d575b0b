from itertools import pairwise
from pathlib import Path

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.pieces import Piece
from pellucid.documents.pipeline.partition import _group, find_partitions
from pellucid.recipe.data import SourceConfig


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 40))
def test_neighbouring_pieces_are_joined_up_to_the_limit_and_none_is_lost(sizes: list[int], limit: int) -> None:
    pieces = [Piece("s", f"{number}", f"{number}", 0, None, size) for number, size in enumerate(sizes)]
    groups = _group(pieces, limit)
    assert [piece for group in groups for piece in group] == pieces
    size = {piece: piece.bytes or limit for piece in pieces}  # one of unknown size may be large
    for group in groups:
        assert len(group) == 1 or sum(size[piece] for piece in group) <= limit
    for before, after in pairwise(groups):
        assert sum(size[piece] for piece in before) + size[after[0]] > limit


def test_partitions_are_numbered_through_all_sources_and_within_each(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_bytes(orjson.dumps({"text": "x" * 100}) + b"\n")
    sources = [
        SourceConfig(name="one", path="[ab].jsonl", weight=1, category="Web"),
        SourceConfig(name="two", path="c.jsonl", weight=1, category="Web"),
    ]
    apart = find_partitions(sources, tmp_path, 150)
    assert [(partition.number, partition.index, partition.source.name) for partition in apart] == [
        (0, 0, "one"),
        (1, 1, "one"),
        (2, 0, "two"),
    ]
    assert str(apart[1]) == "source one, part 1 (b.jsonl)"
    together = find_partitions(sources, tmp_path, 10_000)
    assert [(len(partition.pieces), partition.bytes) for partition in together] == [(2, 224), (1, 112)]
