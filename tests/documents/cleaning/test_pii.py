"""Masking of personal data: what is masked, what only looks like it, and what the pocket corpus holds of either."""

import ipaddress
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.pii import _is_public, apply, mask
from pellucid.recipe.cleaning import PiiStep

POCKET = Path(__file__).resolve().parents[3] / "corpora/pocket"
KINDS = ("email", "ip", "phone", "iban", "card")


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("email", "Write to <jane.doe+x@mail.uni-köln.de>.", "Write to <email@example.com>."),
        (
            "email",
            "a@b.org, c@d.net, mailto:a@b.org",
            "email@example.com, firstname.lastname@example.org, mailto:email@example.com",
        ),
        ("email", "联系我foo@bar.com吧 müller@web.de", "联系我email@example.com吧 firstname.lastname@example.org"),
        ("email", "o'brien_99@sub.domain.co.uk;", "email@example.com;"),
        ("ip", "from 82.50.72.202 and 8.8.8.208:80.", "from 192.0.2.1 and 198.51.100.1:80."),
        ("ip", "at http://130.228.5.168/x, [130.228.5.168]", "at http://192.0.2.1/x, [192.0.2.1]"),
        ("ip", "193.8.232.0/24 - 193.8.232.9.", "192.0.2.1/24 - 198.51.100.1."),
        ("phone", "Call +49 (0)30 1234567 or +1 (818) 792-9941!", "Call +1 202-555-0100 or +1 202-555-0101!"),
        ("phone", "+33 1 42 68 53 00, (202) 456-1111, 202-456-1414", "+1 202-555-0100, +1 202-555-0101, +1 202-555-0102"),
        ("phone", "Tel.: 030 123 45 67, Teléfono: 91 123 45 67", "Tel.: +1 202-555-0100, Teléfono: +1 202-555-0101"),
        (
            "phone",
            "Téléphone : 01 42 68 53 00; Fax (home): 020 624 1111",
            "Téléphone : +1 202-555-0100; Fax (home): +1 202-555-0101",
        ),
        ("iban", "IBAN DE89 3704 0044 0532 0130 00 BIC", "IBAN DE00 0000 0000 0000 0000 00 BIC"),
        ("iban", "GB82WEST12345698765432.", "GB00000000000000000000."),
        ("card", "4111 1111 1111 1111 and 3782-822463-10005", "0000 0000 0000 0000 and 0000-000000-00000"),
        ("card", "Visa: 4012888888881881", "Visa: 0000000000000000"),
    ],
)
def test_personal_data_is_masked_in_its_form(kind: str, before: str, after: str) -> None:
    masked, count = mask(before, kind)
    assert masked == after
    assert count > 0
    assert mask(masked, kind) == (masked, 0)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "user@example.org, root@localhost, react@16.8.0, icon@2x.png, getty@tty1.service, @decorator.name, a @ b.c"),
        ("ip", "10.0.0.1 127.0.0.1 192.168.1.77 172.16.254.1 169.254.9.9 203.0.113.7 224.0.0.251 255.255.255.0 0.0.0.0"),
        ("ip", "version 5.15.0.91, v2.40.1.88, Section 9.16.2.33, Abschnitt 45.1.2.3, (see § 40.1.2.3)"),
        ("ip", "zlib 1.2.0.1, pGina 3.9.9.12, 4.6.2.0-1, foo-1.2.3.104, Chrome/96.0.204.55, 1.3.6.1.4.1.311, 300.1.1.1"),
        ("ip", "36.7.2.3. Passing Query Parameters"),
        ("phone", "ISBN 978-3-16-148410-0, 2024-11-21, 21.11.2024 10:30, 1 000 000, 3.14159265358979, DFARS 252.227-7013"),
        ("phone", "x = 12345678; 0x1234567890; 1234 5678 9012 3456 7890; +1 202-555-0123"),
        ("iban", "DE89 3704 0044 0532 0130 01, GB82WEST1234569876543, AB12CDEFGHIJKLMNOP, XX82WEST12345698765432"),
        ("card", "4111 1111 1111 1112, 9780306406157, ISBN 978-0-306-40615-7, 4012888888881881, 1234 5678 9012 3456"),
        ("card", "3.141592653589793, 4111111111111111111111, 0.4111111111111111"),
    ],
)
def test_what_only_looks_like_it_stays(kind: str, text: str) -> None:
    assert mask(text, kind) == (text, 0)


@given(st.integers(0, 2**32 - 1))
def test_public_addresses_are_those_of_the_registry(value: int) -> None:
    address = ipaddress.IPv4Address(value)
    small = max(address.packed) < 32
    # Anycast services inside 192.0.0.0/24 are called public by newer versions of the standard library only.
    if address not in ipaddress.IPv4Network("192.0.0.0/24"):
        assert _is_public(str(address)) == (address.is_global and not address.is_multicast and not small)


@given(st.integers(10**9, 10**18), st.sampled_from(["DE", "FR", "NL"]))
def test_an_account_number_with_its_right_remainder_is_found_and_with_another_is_not(number: int, country: str) -> None:
    chars = {"DE": 18, "FR": 23, "NL": 14}[country]
    account = f"{number:0{chars}d}"[:chars]
    check = 98 - int("".join(str(int(char, 36)) for char in f"{account}{country}00")) % 97
    assert mask(f"to {country}{check:02d}{account}.", "iban")[1] == 1
    assert mask(f"to {country}{(check + 1) % 97:02d}{account}.", "iban")[1] == 0


def test_edits_are_counted_by_kind_and_only_the_kinds_asked_for_are_masked() -> None:
    text = "a@b.org at 82.50.72.202, Tel: 030 123 45 67"
    batch = TextBatch([text, "nothing"], ["en", "en"])
    apply(batch, PiiStep(step="pii"))
    assert batch.texts == ["email@example.com at 192.0.2.1, Tel: 030 123 45 67", "nothing"]
    assert batch.edits == {"pii: email": 1, "pii: ip": 1}
    apply(batch, PiiStep(step="pii", kinds=("phone",)))
    assert batch.texts[0].endswith("Tel: +1 202-555-0100")


def test_the_pocket_corpus_holds_no_false_addresses_accounts_or_cards() -> None:
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for path in sorted(POCKET.glob("*.en.parquet")):
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist()[:400]:
            for kind in ("email", "ip", "iban", "card"):
                masked, count = mask(text, kind)
                if count:
                    found[kind] |= set(re.findall(r"\S+", text)) - set(re.findall(r"\S+", masked))
    assert not found["email"]
    assert not found["iban"]
    assert not found["card"]
    # Addresses of the Debian handbook's examples, all of them once somebody's.
    assert {"82.50.72.202", "212.94.201.10", "213.244.11.247"} <= {word.strip("();,.") for word in found["ip"]}
    assert len(found["ip"]) < 20, found["ip"]


@pytest.mark.parametrize("line", ["+{}", "+1 {}", "+1 ({}) {}", "0049 {}"])
def test_long_runs_of_digits_are_no_phone_numbers_and_take_no_time(line: str) -> None:
    text = "\n".join([line.format("1" * 40, "2" * 40)] * 20_000)  # minutes when each run is cut in all ways
    assert mask(text, "phone") == (text, 0)
