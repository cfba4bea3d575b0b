"""Repair of encoding damage: what is undone, what is left alone in the scripts that need it, and that real text stays as it is."""

import re
import unicodedata
from collections import Counter
from pathlib import Path

import ftfy
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.unicode import _strike, apply, repair
from pellucid.recipe.cleaning import UnicodeStep

POCKET = Path(__file__).resolve().parents[3] / "corpora/pocket"
STEP = UnicodeStep(step="unicode")


def mended(text: str, step: UnicodeStep = STEP) -> tuple[str, dict[str, int]]:
    edits: Counter[str] = Counter()
    return repair(text, step, edits), {kind.removeprefix("unicode: "): count for kind, count in edits.items()}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize(
    "text",
    [
        "Das Mädchen aß Äpfel.",
        "¿Dónde está el niño?",
        "Élève à l'école, où ça ?",
        "Perché no? È così.",
        "coëfficiënt",
        "Não há razão.",
    ],
)
def test_utf8_that_was_read_as_another_encoding_is_undone(text: str, encoding: str) -> None:
    damaged = text.encode().decode(encoding, errors="ignore")
    if damaged.encode(encoding) != text.encode():
        pytest.skip("this encoding has no character for one of the bytes")
    assert mended(f"A line before.\n{damaged}\n")[0] == f"A line before.\n{text}\n"


def test_only_lines_that_show_mojibake_are_touched_and_they_are_counted() -> None:
    assert mended("NÃO é «CAFÉ»\ncafÃ©\nâ€œoui&amp;nonâ€\x9d") == ("NÃO é «CAFÉ»\ncafé\n“oui&amp;non”", {"mojibake": 2})
    assert mended("cafÃ©", STEP.model_copy(update={"mend_mojibake": False})) == ("cafÃ©", {})


@pytest.mark.parametrize(
    ("before", "after", "edits"),
    [
        ("a\r\nb\rc\x0cd\u2028e\x85f", "a\nb\nc\nd\ne\nf", {"line ends": 5}),
        ("a\x93b\x94 and\x85", "a“b” and…", {"control characters": 2}),
        ("\x00a\x07b\tc\x7f", "ab\tc", {"control characters": 3}),
        ("10 %\x08\x08\x08\x0820 %\x1b[\x1b[0Km\x1b[?25 h.", "20 %.", {"control characters": 7}),
        ("\x1b[1;31mred\x1b[0m N\x08NA\x08A", "red NA", {"control characters": 4}),
        ("10\u202f000\xa0€\u2009!", "10 000 € !", {"spaces": 3}),
        ("全角\u3000空白", "全角\u3000空白", {}),
        ("ᠮᠣᠩᠭᠣᠯ\u202fᠤᠨ", "ᠮᠣᠩᠭᠣᠯ\u202fᠤᠨ", {}),
        (
            "soft\xadhyphen\ufeff, zero\u200bwidth, Auf\u200clage",
            "softhyphen, zerowidth, Auflage",
            {"soft hyphens": 1, "invisible characters": 3},
        ),
        (
            "ค่ะ\u200bครับ می\u200cخواهم क्\u200dष 👩\u200d👧 ❤\ufe0f\u200d🔥",
            "ค่ะ\u200bครับ می\u200cخواهم क्\u200dष 👩\u200d👧 ❤\ufe0f\u200d🔥",
            {},
        ),
        (
            "🏴\U000e0067\U000e0062\U000e007f x\U000e0041\U000e0042",
            "🏴\U000e0067\U000e0062\U000e007f x",
            {"invisible characters": 1},
        ),
        ("שלום\u200f, abc", "שלום\u200f, abc", {}),
        ("abc\u202e, def", "abc, def", {"invisible characters": 1}),
        ("a  \nb\t\n\n\n\n\nc \n", "a\nb\n\n\nc\n", {"trailing blanks": 4, "blank lines": 2}),
        ("    indented\n\ttoo", "    indented\n\ttoo", {}),
        ("e\u0301te\u0301", "été", {"normalised": 1}),
    ],
)
def test_each_kind_of_damage_is_repaired_and_counted(before: str, after: str, edits: dict[str, int]) -> None:
    assert mended(before) == (after, edits)


@given(st.text("\x1b[0; /mA") | st.text("aé\x08\n"))
def test_sequences_and_struck_letters_go_until_there_are_none(text: str) -> None:
    pattern = re.compile(r"\x1b\[[0-9;:<=>?]*[ -/]*[@-~]|[^\n\x08]\x08")
    rest, count, removed = text, 1, 0
    while count:
        rest, count = pattern.subn("", rest)
        removed += count
    edits: Counter[str] = Counter()
    assert ("\n".join(_strike(line, edits) for line in text.split("\n")), edits.total()) == (rest, removed)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[" * 400_000 + "m" * 400_000,
        "m" * 400_000 + "\x08" * 400_000,
        "\x1b[" * 400_000,
        "\x1b[" + "0" * 400_000 + " " * 400_000 + "\x1b",
        "e" + "\u0301\u0316" * 400_000,
    ],
    ids=["nested", "struck", "begun", "endless", "marks"],
)
def test_text_made_to_take_hours_takes_one_pass(text: str) -> None:
    once, _ = mended(text)
    assert mended(once) == (once, {})


def test_the_form_is_a_choice() -> None:
    assert mended("ﬁn², e\u0301", STEP.model_copy(update={"form": "nfkc"}))[0] == "fin2, é"
    assert mended("ﬁn², e\u0301")[0] == "ﬁn², é"
    assert mended("ﬁn², e\u0301", STEP.model_copy(update={"form": "none"}))[0] == "ﬁn², e\u0301"


def test_documents_that_stay_damaged_or_become_empty_are_dropped() -> None:
    batch = TextBatch(["fine", "bro\ufffden", "\ufffd" + "x" * 2000, "\x00\u200b\n", ""], ["en"] * 5)
    apply(batch, STEP)
    assert batch.reasons == [None, "unicode: replacement characters", None, "unicode: nothing left", "unicode: nothing left"]
    assert batch.details[1] == "0.1667"


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.text(alphabet="a é\xc3\xa9\x80\x85\r\n\t\x08\x1b[m\u200b\u200d\u202f\xad\ufeff")
)
def test_a_repaired_text_has_none_of_the_damage_and_no_trailing_blanks(text: str) -> None:
    repaired, _ = mended(text)
    assert unicodedata.is_normalized("NFC", repaired)
    assert not set(repaired) & {
        *map(chr, range(9)),
        *map(chr, range(11, 32)),
        *map(chr, range(127, 161)),
        "\u2028",
        "\u2029",
        "\ufeff",
        "\xad",
    }
    assert "\n\n\n\n" not in repaired
    assert all(line == line.rstrip(" \t") for line in repaired.split("\n"))


@given(st.text(alphabet="ab é\r\n\t\x08\x1b[m\u200b\u200d\u202f\xad\ufeff👩\u0301\u2028\xa0\x93"))
def test_repairing_twice_is_repairing_once(text: str) -> None:
    once, _ = mended(text)
    assert mended(once) == (once, {})


@pytest.mark.parametrize("name", ["wesnoth.fr", "human-rights.pt", "littre.fr", "libreoffice-help.de", "reina-valera.es"])
def test_real_text_stays_and_what_is_mended_is_what_ftfy_would_mend(name: str) -> None:
    texts = pq.read_table(POCKET / f"{name}.parquet", columns=["text"])["text"].to_pylist()[:60]
    for text in texts:
        repaired, edits = mended(text)
        assert set(edits) <= {"spaces", "trailing blanks", "blank lines", "invisible characters", "soft hyphens"}
        assert ftfy.fix_encoding(repaired[:20_000]) == repaired[:20_000]
