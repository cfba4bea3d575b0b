import bz2
from pathlib import Path

import pytest

from pellucid.core.errors import DataError
from pellucid.evals.choices.files import Asked, read_csv_questions, read_hellaswag, read_text


def test_a_text_is_unpacked_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt.bz2").write_bytes(bz2.compress("\ufeffé".encode()))
    assert read_text(tmp_path / "a.txt.bz2") == "é"
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"a\.txt cannot be read as text"):
        read_text(tmp_path / "a.txt")


def test_hellaswag_comes_with_the_labels_lines(tmp_path: Path) -> None:
    path = tmp_path / "h.txt"
    item = "A: a man. he\n1\none\ntwo\nthree\nfour\n"
    path.write_text(item * 2)
    asked = Asked("A: a man. he", ["one", "two", "three", "four"], 1)
    assert list(read_hellaswag(path)) == [(2, asked), (8, asked)]
    path.write_text(item + item.replace("\n1\n", "\n4\n"))
    with pytest.raises(DataError, match=r"h\.txt, line 8: the label is 4; with 4 choices it must lie between 0 and 3"):
        list(read_hellaswag(path))


def test_a_csv_has_a_header_or_none_and_a_row_may_have_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    path.write_text('question,choice0,choice1,answer\n"What,\nthen?",a,b,B\nwhy?,c,d,0\n')
    assert list(read_csv_questions(path)) == [(3, Asked("What,\nthen?", ["a", "b"], 1)), (4, Asked("why?", ["c", "d"], 0))]
    with pytest.raises(DataError, match=r"q\.csv, line 3: it has 2 choices; 4 are expected"):
        list(read_csv_questions(path, choices=4))
    path.write_text("why?,c,d,C\n")
    with pytest.raises(DataError, match=r"line 1: the label is 2; with 2 choices it must lie between 0 and 1"):
        list(read_csv_questions(path))
