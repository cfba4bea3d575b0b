"""The forms in which a text may stand in a file without being seen: other encodings, and the escapes of several formats."""

import base64
import json
from html import escape
from urllib.parse import quote, quote_plus

__all__ = ["forms_of"]

# A shorter piece of base64 would be found by chance.
_SHORTEST_BASE64 = 8


def forms_of(text: str) -> set[bytes]:
    """Return the bytes to look for: UTF-8 and UTF-16, base64 at all three offsets (both alphabets), hexadecimal, escapes of URLs,
    of JSON and of HTML."""
    raw = text.encode()
    spelt = {text, quote(text, safe=""), quote(text), quote_plus(text), escape(text), json.dumps(text)[1:-1]}
    spelt |= {json.dumps(text, ensure_ascii=False)[1:-1], text.replace("/", "\\/"), quote(text, safe="").replace("%2F", "%2f")}
    found = {form.encode() for form in spelt}
    found |= {text.encode("utf-16-le"), text.encode("utf-16-be")}
    found |= {raw.hex().encode(), raw.hex().upper().encode()}
    for encoded in (raw, text.encode("utf-16-le")):
        found |= _base64_forms(encoded)
    return found


def _base64_forms(raw: bytes) -> set[bytes]:
    """The characters that depend on these bytes alone, for each place that they may have among groups of three bytes."""
    found = set()
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw)
        inner = coded[-(-8 * before // 6) : 8 * (before + len(raw)) // 6]
        if len(inner) >= _SHORTEST_BASE64:
            found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found
