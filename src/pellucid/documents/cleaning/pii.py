"""Masking of personal data: each kind is replaced by something of the same form that belongs to nobody.

E-mail addresses and public IPv4 addresses as in FineWeb (Penedo et al. 2024, Appendix C: PII removal), with these differences. What
stands in for them is reserved for examples (RFC 2606, RFC 5737) instead of addresses that once did not answer, and is chosen by
the order inside the document, so that it does not depend on the documents before. The version numbers and section numbers that
FineWeb takes for IP addresses are told apart: all four numbers below 32 (one public address in 4 096 looks so), or a word such as
"version" or "section" before. Addresses with a numeric or a file's ending (react@16.8.0, icon@2x.png) are no e-mail addresses.

Phone numbers: international (E.164, 8 to 15 digits), North American, or named as such in one of the seven languages. Bank
accounts: ISO 13616, length by country and remainder modulo 97. Cards: issuer's first digits, length and ISO/IEC 7812's check
digit, and groups or a word for a card before, since one in ten runs of digits has a right check digit.
"""

import re
from collections.abc import Callable

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.recipe.cleaning import PiiStep

__all__ = ["apply", "mask"]

_EMAILS = ("email@example.com", "firstname.lastname@example.org")
_LATIN = "A-Za-z0-9\xc0-\u024f"
_DOMAIN = re.compile(
    f"@((?:[{_LATIN}](?:[{_LATIN}-]{{0,61}}[{_LATIN}])?\\.){{1,8}})([A-Za-z]{{2,24}}|xn--[a-z0-9-]{{2,59}})(?![{_LATIN}_@-])"
)
_LOCAL = re.compile(f"(?<![{_LATIN}._%+-])[{_LATIN}_](?:[{_LATIN}._%+'-]{{0,62}}[{_LATIN}_+-])?\\Z")
_RESERVED = re.compile(r"(?:.*\.)?example\.(?:com|net|org)|.*\.(?:example|invalid|test|localhost)", re.IGNORECASE)
_NO_DOMAINS = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "service", "socket", "target", "timer", "mount", "slice", "device"]
)

_IP = re.compile(r"(?<![\w.])(?<![A-Za-z]-)(?<!(?<!/)/)\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\w|-\d+(?![\d.]))")
_IP_STANDINS = ("192.0.2.{}", "198.51.100.{}", "203.0.113.{}")
_SMALL = 32
_NUMBERED = re.compile(
    r"(?:\b(?:sect?(?:ion|ie|ção)?s?|se[cç]ção|sección|sezione|abschnitt|kapitel|kap|paragra[a-z]*|hoofdstuk|cap[ií]tul[oe]s?|capitol[oi]|"
    r"chapters?|chapitre|ch|annexe?|appendix|anhang|tab(?:le|elle|la)?|figur[ae]?|fig|abb(?:ildung)?|vers(?:ion|ión|ione|ie|ão)?[ns]?|ver|"
    r"v|rel(?:ease)?s?|rev(?:ision)?|build|firmware|driver|policy|oid|asn|isbn)\.?|§)\s{0,3}[(:#=≥>]{0,2}\s{0,2}\Z",
    re.IGNORECASE,
)
# IANA's registry of special-purpose IPv4 addresses, and multicast: first address and length of the prefix.
_SPECIAL = tuple(
    (int.from_bytes(bytes(map(int, first.split("."))), "big") >> (32 - bits), 32 - bits)
    for bits, firsts in {
        4: "224.0.0.0 240.0.0.0", 8: "0.0.0.0 10.0.0.0 127.0.0.0", 10: "100.64.0.0", 12: "172.16.0.0", 15: "198.18.0.0",
        16: "169.254.0.0 192.168.0.0", 24: "192.0.0.0 192.0.2.0 198.51.100.0 203.0.113.0",
    }.items()
    for first in firsts.split()
)  # fmt: skip

# No group gives digits back (the second +): a long run of them could otherwise be cut into groups in thousands of ways.
_PHONE = re.compile(
    r"(?<![\w+./-])(?:\+|00(?=[1-9]\d?[ ./-]))[1-9]\d{0,3}(?:[ ./-]{0,2}\(?\d{1,5}+\)?){2,7}(?!\w)"  # +49 (0) 30 1234-567
    r"|(?<![\w+./-])(?:\([2-9]\d\d\) ?[2-9]\d\d[-.]\d{4}|[2-9]\d\d([-.])[2-9]\d\d\1\d{4})(?![\w-])"  # (202) 456-1111
    r"|(?<![\w+./-])(?P<named>\(?\d{2,5}\)?(?:[ ./-]{1,2}\d{2,6}){1,5})(?!\w)"
)
_PHONE_WORD = re.compile(
    r"(?:\b(?:t[eé]l(?:e(?:ph|f)oon|[eé]fono|[eé]phone|efoon|efone?|emóvel|éf)?|phone|fax|handy|mobil[e]?|móvil|mobiel|portable|cellulare|celular)"
    r"(?:nummer|-nr)?\.?(?: no\.?| n[°º])?(?: ?\([^)\n]{1,12}\))? ?[:.]? {0,2})\Z",
    re.IGNORECASE,
)
_FICTION = re.compile(r"555.?01\d\d$")  # numbers that North America keeps for fiction
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}")
_IBAN_CHARS: dict[str, int] = {
    country: chars
    for chars, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH CR HR LI LV",
        22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ DZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST",
        26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HN HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_CARD = re.compile(r"(?<![\w.,+-])(?<!\d )[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]|[.,]\d| \d)")
_ISSUERS = tuple(
    (re.compile(first), digits)
    for first, digits in (
        ("4", (13, 16, 19)),
        ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720|6011|65|64[4-9]|35[2-8]", (16,)),
        ("3[47]", (15,)),
        ("30[0-5]|36|38|39", (14,)),
        ("62", (16, 17, 18, 19)),
    )
)
_CARD_WORD = re.compile(
    r"card|visa|master|amex|express|karte|tarjeta|carte|carta|kaart|cart[ãa]o|kredit|cr[eé]dit|pan\b", re.IGNORECASE
)
_GROUPED = re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{4}([ -])\d{6}\2\d{4,5}")


def apply(batch: TextBatch, config: PiiStep) -> None:
    """Mask the kinds of personal data asked for; "pii: KIND" counts in edits what was masked. Nothing is dropped."""
    for row in batch.rows:
        text = batch.texts[row]
        for kind in ("email", "iban", "card", "phone", "ip"):
            if kind in config.kinds:
                text, count = mask(text, kind)
                if count:
                    batch.edits[f"pii: {kind}"] += count
        batch.replace(row, text)


def mask(text: str, kind: str) -> tuple[str, int]:
    """Return the text with one kind of personal data masked, and how many there were. Masking again changes nothing.

    The same address or number gets the same stand-in everywhere in the text.
    """
    find = _KINDS[kind]
    spans = find(text)
    if not spans:
        return text, 0
    stand_ins: dict[str, str] = {}
    parts, last = [], 0
    for begin, end in spans:
        found = text[begin:end]
        if found not in stand_ins:
            stand_ins[found] = _stand_in(kind, found, len(stand_ins))
        parts += [text[last:begin], stand_ins[found]]
        last = end
    return "".join([*parts, text[last:]]), len(spans)


def _stand_in(kind: str, found: str, number: int) -> str:
    if kind == "email":
        return _EMAILS[number % len(_EMAILS)]
    if kind == "ip":
        return _IP_STANDINS[number % len(_IP_STANDINS)].format(number // len(_IP_STANDINS) % 254 + 1)
    if kind == "phone":
        return f"+1 202-555-01{number % 100:02d}"
    keep = 2 if kind == "iban" else 0
    return found[:keep] + re.sub(r"[A-Z0-9]", "0", found[keep:])


def _emails(text: str) -> list[tuple[int, int]]:
    if "@" not in text:
        return []
    spans: list[tuple[int, int]] = []
    for match in _DOMAIN.finditer(text):
        floor = max(match.start() - 65, spans[-1][1] if spans else 0)
        local = _LOCAL.search(text[floor : match.start()])
        if local and match[2].lower() not in _NO_DOMAINS and not _RESERVED.fullmatch(match[1] + match[2]):
            spans.append((floor + local.start(), match.end()))
    return spans


def _ips(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _IP.finditer(text) if _is_public(match[0]) and not _numbered(text, *match.span())]


def _is_public(address: str) -> bool:
    numbers = [int(part) for part in address.split(".")]
    if max(numbers) > 255 or max(numbers) < _SMALL or any(len(part) > 1 and part[0] == "0" for part in address.split(".")):
        return False
    value = int.from_bytes(bytes(numbers), "big")
    return not any(value >> shift == prefix for prefix, shift in _SPECIAL)


def _numbered(text: str, begin: int, end: int) -> bool:
    """Tell whether the number is said to be a version's or a section's, or numbers a heading ("36.7.2.3. Passing ...")."""
    heading = text[max(0, begin - 1) : begin] in ("", "\n") and text[end : end + 2] == ". "
    return heading or _NUMBERED.search(text[max(0, begin - 24) : begin]) is not None


def _phones(text: str) -> list[tuple[int, int]]:
    spans = []
    for match in _PHONE.finditer(text):
        if match["named"] and not _PHONE_WORD.search(text[max(0, match.start() - 32) : match.start()]):
            continue
        digits = sum(char.isdigit() for char in match[0])
        if (6 if match["named"] else 8) <= digits <= 15 and not _FICTION.search(match[0]):
            spans.append(match.span())
    return spans


def _ibans(text: str) -> list[tuple[int, int]]:
    spans = []
    for match in _IBAN.finditer(text):
        chars = _IBAN_CHARS.get(match[0][:2], 0)
        places = [place for place, char in enumerate(match[0]) if char.isalnum()][:chars]
        end = match.start() + places[-1] + 1 if places else 0
        if chars and len(places) == chars and not text[end : end + 1].isalnum():
            account = "".join(match[0][place] for place in places)
            if int("".join(str(int(char, 36)) for char in account[4:] + account[:4])) % 97 == 1:
                spans.append((match.start(), end))
    return spans


def _cards(text: str) -> list[tuple[int, int]]:
    spans = []
    for match in _CARD.finditer(text):
        digits = match[0].replace(" ", "").replace("-", "")
        issued = any(issuer.match(digits) and len(digits) in lengths for issuer, lengths in _ISSUERS)
        said = _GROUPED.fullmatch(match[0]) or _CARD_WORD.search(text[max(0, match.start() - 40) : match.start()])
        if issued and said and _luhn(digits):
            spans.append(match.span())
    return spans


def _luhn(digits: str) -> bool:
    odd = sum(int(digit) for digit in digits[-1::-2])
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


_KINDS: dict[str, Callable[[str], list[tuple[int, int]]]] = {
    "email": _emails,
    "ip": _ips,
    "phone": _phones,
    "iban": _ibans,
    "card": _cards,
}
