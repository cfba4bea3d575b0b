from collections.abc import Callable

from pellucid.documents.pieces import Piece
from pellucid.documents.reading import Reading, Record
from pellucid.documents.texts import Wanted
from pellucid.recipe.data import SourceConfig


def test_a_reading_knows_its_places_and_when_a_raw_record_is_too_long(make_source: Callable[..., SourceConfig]) -> None:
    piece = Piece("web", "/machine/a.jsonl", "a.jsonl", 0, None, 10)
    reading = Reading(make_source("a.jsonl"), piece, Wanted(("text",)), 5)
    assert reading.where(3) == "a.jsonl:3"
    assert reading.limit >= 2 * 5 + (1 << 20)


def test_records_are_compared_by_what_they_say() -> None:
    assert Record("a:1", {"text": "x"}, 3, b"raw") == Record("a:1", {"text": "x"}, 3)
