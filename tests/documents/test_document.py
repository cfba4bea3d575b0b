from hashlib import sha256

import pytest

from pellucid.documents.document import SCHEMA, Document, Dropped, digest_text


def test_the_digest_is_the_sha256_of_the_utf8_text() -> None:
    assert digest_text("Grüße") == sha256("Grüße".encode()).hexdigest()


def test_half_a_surrogate_pair_has_no_digest() -> None:
    with pytest.raises(UnicodeEncodeError):
        digest_text("\ud800")


def test_a_document_has_exactly_the_columns_of_the_schema_and_the_place_it_was_read_from() -> None:
    assert {*SCHEMA.names, "where"} == set(Document.__dataclass_fields__)
    assert {str(kind) for kind in SCHEMA.types} == {"string"}


def test_what_a_drop_says_of_a_broken_record_can_be_written() -> None:
    dropped = Dropped("no text", 7, "\udce9.jsonl@0", "has no field 'text' (its fields: \ud800, ü)")
    assert (dropped.where, dropped.detail) == ("?.jsonl@0", "has no field 'text' (its fields: ?, ü)")
