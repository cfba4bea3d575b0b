import base64
import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.release.encodings import forms_of

SECRET = "hünter/2 & <co>+äß"


@pytest.mark.parametrize(
    "written",
    [
        SECRET.encode(),
        SECRET.encode("utf-16-le"),
        SECRET.encode("utf-16"),
        SECRET.encode("utf-16-be"),
        SECRET.encode().hex().encode(),
        SECRET.encode().hex().upper().encode(),
        quote(SECRET).encode(),
        quote(SECRET, safe="").encode(),
        quote_plus(SECRET).encode(),
        json.dumps({"a": SECRET}).encode(),
        json.dumps({"a": SECRET}, ensure_ascii=False).encode(),
        escape(SECRET).encode(),
        base64.b64encode(SECRET.encode()),
    ],
)
def test_every_way_of_writing_it_is_among_the_forms(written: bytes) -> None:
    assert any(form in b"before " + written + b" behind" for form in forms_of(SECRET))


@given(st.binary(max_size=8), st.text(min_size=8, max_size=20), st.binary(max_size=8))
def test_base64_of_something_longer_shows_it_at_any_offset(before: bytes, text: str, behind: bytes) -> None:
    raw = before + text.encode("utf-8", "surrogatepass") + behind
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert any(form in encode(raw) for form in forms_of(text))
