import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pellucid.watch.tail import Tail


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_come_once_and_a_half_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.read() == []  # not there yet
    append(path, b"one\ntw")
    assert tail.read() == [b"one"]
    assert tail.read() == []
    assert tail.is_at_end
    append(path, b"o\nthree\n")
    assert tail.read() == [b"two", b"three"]
    assert tail.read() == []
    assert tail.generation == 0


def test_only_new_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"x" * 99 + b"\n")
    tail = Tail(path)
    for _ in range(5):
        tail.read()
        append(path, b"y" * 99 + b"\n")
    tail.read()
    assert tail.bytes_read == 600


def test_a_file_that_was_replaced_is_read_from_the_front(tmp_path: Path) -> None:
    path, new = tmp_path / "log", tmp_path / "new"
    append(path, b"a\nb\nc\n")
    tail = Tail(path)
    assert tail.read() == [b"a", b"b", b"c"]
    append(new, b"a\nb\nx\ny\nz\n")
    new.replace(path)
    assert tail.read() == [b"a", b"b", b"x", b"y", b"z"]
    assert tail.generation == 1


def test_a_file_that_was_cut_short_or_rewritten_in_place_is_read_from_the_front(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"a\nb\n")
    tail = Tail(path)
    tail.read()
    os.truncate(path, 2)
    assert tail.read() == [b"a"]
    assert tail.generation == 1
    path.write_bytes(b"other\nlines\n")  # the same file, longer than what was read
    assert tail.read() == [b"other", b"lines"]
    assert tail.generation == 2


def test_a_file_that_goes_and_comes_back_is_another(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"a\n")
    tail = Tail(path)
    tail.read()
    path.unlink()
    assert tail.read() == []
    assert tail.generation == 1
    append(path, b"b\n")
    assert tail.read() == [b"b"]


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Tail(tmp_path / "pipe").read() == []
    assert Tail(tmp_path).read() == []


def test_a_line_longer_than_a_slice_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append(path, b"x" * 5000 + b"\nend\n")
    tail = Tail(path)
    lines = tail.read(64)
    while not tail.is_at_end:
        lines += tail.read(64)
    assert lines == [b"x" * 5000, b"end"]


@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ")), max_size=30), st.data())
def test_however_a_file_grows_its_lines_are_what_comes(tmp_path_factory, lines: list[bytes], data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    whole = b"".join(line + b"\n" for line in lines)
    tail, found, done = Tail(path), [], 0
    while done < len(whole):
        size = data.draw(st.integers(1, 60))
        append(path, whole[done : done + size])
        done += size
        found += tail.read(data.draw(st.integers(1, 100)))
    while more := tail.read(50):
        found += more
    assert found == lines
    assert tail.generation == 0
