import pytest

from pellucid.core.errors import DataError
from pellucid.tokenizer.token_bytes import TokenBytes

TABLE = TokenBytes({0: b"a", 2: "é".encode(), 3: b"\xc3"}, 5)


def test_ids_give_the_bytes_of_their_tokens_in_order() -> None:
    assert TABLE.exactly([2, 0, 2]) == "éaé".encode()
    assert TABLE.as_text(iter([2, 0])) == "éa"


def test_an_id_without_a_token_is_refused_as_bytes_and_shown_as_replacement_in_text() -> None:
    with pytest.raises(DataError, match="id 1 has no token; the vocabulary has ids below 5"):
        TABLE.exactly([0, 1])
    assert TABLE.as_text([0, 1, 3, 4]) == "a\ufffd\ufffd\ufffd"
