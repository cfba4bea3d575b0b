import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError, DiskFullError
from pellucid.core.ledger import Ledger, read_ledger

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RESERVED = {"event", "at", "previous", "sha256", "self", "fields"}
FIELDS = st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda name: name not in RESERVED), VALUES, max_size=4)
EVENTS = st.lists(st.tuples(st.sampled_from(["start", "alive", "end"]), FIELDS), min_size=1, max_size=6)
GOOD: dict[int, bytes] = {}
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(run: Path, count: int = 4) -> Path:
    ledger = Ledger(run)
    for number in range(count):
        ledger.append("start", number=number, stage="documents")
    return ledger.path


def fresh(tmp_path: Path) -> Path:
    return tmp_path / str(time.monotonic_ns())


def numbers(path: Path) -> list[int]:
    return [event["number"] for event in read_ledger(path) if "number" in event]


@MANY
@given(events=EVENTS)
def test_any_events_come_back_as_they_were_in_order(tmp_path: Path, events: list[tuple[str, dict[str, object]]]) -> None:
    ledger = Ledger(fresh(tmp_path))
    for name, fields in events:
        ledger.append(name, **fields)
    found = list(read_ledger(ledger.path, whole=True))
    own = {"event", "at", "previous", "sha256"}
    assert [(one["event"], {key: value for key, value in one.items() if key not in own}) for one in found] == events
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["at"]) for one in found)


def test_a_line_holds_the_digest_of_the_line_before_and_its_own_of_its_bytes_without_it(tmp_path: Path) -> None:
    first, second = written(tmp_path, 2).read_bytes().splitlines(keepends=True)
    assert json.loads(first)["previous"] == "0" * 64
    assert json.loads(second)["previous"] == sha256(first).hexdigest()
    without = re.sub(rb',"sha256":"[0-9a-f]{64}"\}\n$', b"}", second)
    assert json.loads(second)["sha256"] == sha256(without).hexdigest()


@settings(MANY, max_examples=400)
@given(place=st.integers(0), byte=st.integers(0, 255), kind=st.sampled_from(["change", "insert", "remove"]))
def test_any_single_byte_that_is_changed_inserted_or_removed_is_found(tmp_path: Path, place: int, byte: int, kind: str) -> None:
    path = tmp_path / "ledger.jsonl"
    good = GOOD.setdefault(3, written(tmp_path, 3).read_bytes() if not GOOD else b"")
    at = place % len(good)
    after = {"change": good[at + 1 :], "insert": good[at:], "remove": good[at + 1 :]}[kind]
    bad = good[:at] + (b"" if kind == "remove" else bytes([byte])) + after
    path.write_bytes(bad)
    if bad == good:
        return
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl, line [123] "):
        list(read_ledger(path, whole=True))
    # While somebody may still be writing, only what a kill could have left is passed over: all but the last newline.
    if bad != good[:-1]:
        with pytest.raises(ArtifactError):
            list(read_ledger(path))


def test_every_bit_of_a_short_ledger_counts_also_in_its_last_line(tmp_path: Path) -> None:
    path = written(tmp_path, 2)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ArtifactError):
            list(read_ledger(path))


@MANY
@given(one=st.integers(0, 3), other=st.integers(0, 3), kind=st.sampled_from(["remove", "double", "swap"]))
def test_a_line_that_is_removed_doubled_or_swapped_is_found(tmp_path: Path, one: int, other: int, kind: str) -> None:
    path = written(fresh(tmp_path), 5)
    lines = path.read_bytes().splitlines(keepends=True)
    if kind == "remove":
        del lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    else:
        lines[one], lines[other] = lines[other], lines[one]
        if one == other:
            return
    path.write_bytes(b"".join(lines))
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl, line [1-6] "):
        list(read_ledger(path))


@MANY
@given(kept=st.integers(0), count=st.integers(1, 4))
def test_any_truncation_leaves_a_readable_prefix_and_a_writer_that_goes_on(tmp_path: Path, kept: int, count: int) -> None:
    path = written(fresh(tmp_path), count)
    good = path.read_bytes()
    kept %= len(good) + 1
    path.write_bytes(good[:kept])
    whole = good[:kept].count(b"\n")
    assert numbers(path) == list(range(whole))
    Ledger(path.parent).append("start", number=9)
    found = list(read_ledger(path, whole=True))
    assert [event["number"] for event in found if event["event"] == "start"] == [*range(whole), 9]
    repaired = [event for event in found if event["event"] == "repaired"]
    cut = good[:kept].rpartition(b"\n")[2]
    assert [(event["bytes"], event["begins"]) for event in repaired] == ([(len(cut), cut[:200].decode())] if cut else [])


def test_lines_longer_than_a_block_are_chained_too(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number, size in enumerate([1, 200_000, 65_536, 3]):
        ledger.append("start", number=number, text="x" * size)
    assert numbers(ledger.path) == [0, 1, 2, 3]


def test_appending_reads_the_end_of_the_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 3000)
    read, true = [0], os.pread

    def counted(descriptor: int, size: int, at: int) -> bytes:
        found = true(descriptor, size, at)
        read[0] += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    Ledger(tmp_path).append("end", number=3000)
    assert 0 < read[0] < path.stat().st_size / 5
    assert len(numbers(path)) == 3001


def test_a_full_disk_is_explained_and_leaves_the_ledger_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, 2)
    good = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", Halting(os.write))
        with pytest.raises(DiskFullError, match="no room left"):
            Ledger(tmp_path).append("end", number=2)
    assert path.read_bytes() == good
    Ledger(tmp_path).append("end", number=2)
    assert numbers(path) == [0, 1, 2]


class Halting:
    """Writes twenty bytes, then finds the disk full."""

    def __init__(self, write: object) -> None:
        self.write, self.calls = write, 0

    def __call__(self, descriptor: int, data: bytes) -> int:
        self.calls += 1
        if self.calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.write(descriptor, data[:20])  # type: ignore[operator, no-any-return]


def test_threads_and_processes_that_append_at_once_do_not_break_the_chain(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from pellucid.core.ledger import Ledger\n"
    code += "for n in range(40): Ledger(Path(sys.argv[1])).append('alive', number=n)"
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    threads = [threading.Thread(target=written, args=(tmp_path, 40)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert sorted(numbers(tmp_path / "ledger.jsonl")) == sorted(list(range(40)) * 5)


def test_a_writer_that_is_killed_again_and_again_loses_nothing_that_it_was_told_is_written(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pellucid.core.ledger import Ledger, read_ledger\n"
        "ledger = Ledger(Path(sys.argv[1])); n = int(sys.argv[2])\n"
        "while True:\n"
        "    ledger.append('alive', number=n, text='x' * (n * 997 % 5000)); print(n, flush=True); n += 1\n"
    )
    path, said = tmp_path / "ledger.jsonl", -1
    for time_ in range(12):
        begin = len(numbers(path)) if path.is_file() else 0
        assert begin in (said + 1, said + 2), "what was acknowledged is there, and at most the line under way beside it"
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(begin)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = int(process.stdout.readline())
        time.sleep(0.003 * time_)
        process.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout.read().splitlines() if line)])
        process.wait()
        assert numbers(path)[: said + 1] == list(range(said + 1))
    Ledger(tmp_path).append("end")
    assert list(read_ledger(path, whole=True))[-1]["event"] == "end"


def old(events: list[dict[str, object]]) -> bytes:
    """Lines as they were before they had a digest of their own."""
    lines, previous = b"", "0" * 64
    for event in events:
        line = json.dumps({"event": event["event"], "at": "2026-11-22T23:25:10Z", "previous": previous, **event}).encode() + b"\n"
        previous = sha256(line).hexdigest()
        lines += line
    return lines


OLD = [
    {"event": "start", "stage": "plan", "inputs": {}, "recipe": "5cc4"},
    {"event": "end", "stage": "plan", "seconds": 0.05, "summary": {}},
    {"event": "failure", "stage": "shards", "seconds": 0.05, "message": "broken"},
]


def test_older_ledgers_hold_and_are_gone_on_with_and_a_newer_line_cannot_be_made_to_look_like_theirs(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(old(OLD))
    assert [event["event"] for event in read_ledger(path, whole=True)] == ["start", "end", "failure"]
    Ledger(tmp_path).append("start", stage="plan", number=3)
    assert [event["event"] for event in read_ledger(path, whole=True)] == ["start", "end", "failure", "start"]
    good = path.read_bytes()
    path.write_bytes(re.sub(rb',"sha256":"[0-9a-f]{64}"', b"", good))
    with pytest.raises(ArtifactError, match="no digest of its own"):
        list(read_ledger(path))
    path.write_bytes(good)
    Ledger(tmp_path).append("end", stage="plan", seconds=1.0)
    path.write_bytes(re.sub(rb',"sha256":"[0-9a-f]{64}"\}\n$', b"}\n", path.read_bytes()))
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl, line 5 has no digest of its own"):
        list(read_ledger(path))


@pytest.mark.parametrize("line", [b"[]\n", b"5\n", b"{\n", b"\n"])
def test_a_line_that_is_no_object_is_named_and_unchecked_stands_as_an_empty_event(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path, 2)
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl, line 3 "):
        list(read_ledger(path))
    assert [event.get("number") for event in read_ledger(path, checked=False)] == [0, 1, None]


def test_a_missing_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl is missing"):
        list(read_ledger(tmp_path / "ledger.jsonl"))


def test_a_ledger_that_is_a_link_is_not_written_to(tmp_path: Path) -> None:
    other = tmp_path / "somebodys.jsonl"
    other.write_text("theirs")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ledger.jsonl").symlink_to(other)
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl is a link; the ledger of a run must be a file of its own"):
        Ledger(tmp_path / "run").append("start")
    assert other.read_text() == "theirs"


def test_who_has_the_ledger_alone_writes_what_follows_from_it_and_others_wait(tmp_path: Path) -> None:
    ledger, others = Ledger(tmp_path), []

    def write() -> None:
        Ledger(tmp_path).append("other")
        others.append(True)

    with ledger.alone() as append:
        thread = threading.Thread(target=write)
        thread.start()
        count = sum(1 for _ in read_ledger(ledger.path))
        append("mine", seen=count)
        thread.join(0.05)
        assert not others
        append("mine", seen=count + 1)
    thread.join()
    assert [event["event"] for event in read_ledger(ledger.path, whole=True)] == ["mine", "mine", "other"]
