import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.released import SUMS, read_line, sums_text, write_sums


def test_sha256sum_itself_finds_every_file_and_a_changed_one(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    names = ["b.txt", "a/ä b.txt", "a/back\\slash", "a/line\nbreak"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_sums(tmp_path, {name: hashlib.sha256(name.encode()).hexdigest() for name in names})
    command = ["sha256sum", "--check", "--quiet", SUMS]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "b.txt").write_text("other")
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 1 and "b.txt: FAILED" in told.stdout


def test_lines_are_sorted_by_name() -> None:
    text = sums_text({"b": "1" * 64, "a": "2" * 64, "B": "3" * 64})
    assert [line.split("  ")[1] for line in text.splitlines()] == ["B", "a", "b"]


@given(st.dictionaries(st.text("ab\\n\nr\r/ é\x85", min_size=1, max_size=8), st.just("0" * 64), max_size=4))
def test_what_is_written_is_read_again(digests: dict[str, str]) -> None:
    *lines, rest = sums_text(digests).split("\n")
    read = [read_line(line) for line in lines]
    assert rest == "" and None not in read and dict(filter(None, read)) == digests


@pytest.mark.parametrize(
    "line",
    [
        "",
        "abc  file",
        f"{'0' * 64} file",
        f"{'0' * 64}  ",
        f"{'A' * 64}  file",
        f"{'0' * 64} *file",
        f"{'0' * 64}  back\\slash",
        f"\\{'0' * 64}  nothing to escape",
        f"\\{'0' * 64}  a\\tb",
        f"{'0' * 64}  file\n",
    ],
)
def test_a_line_of_another_form_is_none(line: str) -> None:
    assert read_line(line) is None
