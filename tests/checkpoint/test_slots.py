import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from pellucid.checkpoint.slots import Held, Slots, SlotWriter, is_own_folder, open_own_folder, ram_folder, read_slot


def write(slots: Slots, step: int, data: bytes, keep: int | None) -> None:
    writer = SlotWriter(slots, len(data), keep)
    for start in range(0, len(data), 7):
        writer.append(torch.tensor(list(data[start : start + 7]), dtype=torch.uint8))
    writer.finish(Held(0, step, "me", len(data), sha256(data).hexdigest()))
    writer.close()


def whole(slots: Slots) -> dict[int, bytes]:
    read = [(held.step, read_slot(file, held)) for file, held in slots.held()]
    return {step: bytes(data.numpy()) for step, data in read if data is not None}


def test_slots_are_written_in_turn_and_a_write_that_never_ends_costs_only_the_older_one(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "part-00000")
    write(slots, 2, b"two" * 10, None)
    write(slots, 4, b"four" * 20, 2)
    assert whole(slots) == {2: b"two" * 10, 4: b"four" * 20}
    writer = SlotWriter(slots, 1000, 4)  # longer than before: room is made in both slots, the kept one stays what it is
    assert whole(slots) == {4: b"four" * 20}
    writer.append(torch.zeros(30, dtype=torch.uint8))
    writer.close()
    assert whole(slots) == {4: b"four" * 20}
    write(slots, 6, b"six", 4)
    assert whole(slots) == {4: b"four" * 20, 6: b"six"}
    slots.forget(6)
    assert whole(slots) == {6: b"six"}
    write(slots, 6, b"six", 6)
    write(slots, 8, b"eight", 6)
    assert whole(slots) == {6: b"six", 8: b"eight"}
    assert sorted(file.name for file in slots.folder.iterdir()) == [
        "slot-0.json", "slot-0.safetensors", "slot-1.json", "slot-1.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest"])
def test_a_slot_whose_bytes_are_not_those_of_its_manifest_is_not_read(tmp_path: Path, damage: str) -> None:
    slots = Slots(tmp_path / "part-00000")
    write(slots, 2, b"two" * 10, None)
    file = slots.file(0)
    data = file.read_bytes()
    if damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "gone":
        file.unlink()
    else:
        slots.manifest(0).write_bytes(b'{"step": 2')
    assert whole(slots) == {}


def test_room_is_asked_for_before_anything_is_touched(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "part-00000")
    write(slots, 2, b"two", None)
    with pytest.raises(OSError, match=r"1,152,921,504,606,846,976 bytes asked for, [\d,]+ free"):
        SlotWriter(slots, 2**60, None)
    assert whole(slots) == {2: b"two"}


def test_a_write_that_fails_is_told_at_the_end(tmp_path: Path) -> None:
    writer = SlotWriter(Slots(tmp_path / "part-00000"), 8, None)
    writer.close()
    full = Path("/dev/full")
    writer._file = full.open("r+b", buffering=0)
    writer.append(torch.zeros(4, dtype=torch.uint8))
    writer.append(torch.zeros(4, dtype=torch.uint8))
    with pytest.raises(OSError, match="No space left"):
        writer.finish(Held(0, 1, "me", 8, ""))
    writer.close()


def test_only_the_user_enters_and_the_folders_of_two_runs_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_own_folder(tmp_path / "mine")
    open_own_folder(tmp_path / "mine")
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").touch(mode=0o600)
    for name in ("open", "link"):
        with pytest.raises(PermissionError, match="only this user"):
            open_own_folder(tmp_path / name)
    with pytest.raises(FileExistsError):
        open_own_folder(tmp_path / "file")
    assert [is_own_folder(tmp_path / name) for name in ("mine", "open", "link", "file", "none")] == [
        True,
        False,
        False,
        False,
        False,
    ]

    monkeypatch.delenv("PELLUCID_MEMORY_DIR", raising=False)
    folder = ram_folder(tmp_path / "runs" / "pocket" / "pretrain")
    assert folder.parent == Path("/dev/shm")
    assert folder.name.startswith(f"pellucid-{os.geteuid()}-pocket-pretrain-")
    monkeypatch.setenv("PELLUCID_MEMORY_DIR", str(tmp_path))
    assert ram_folder(tmp_path / "runs" / "pocket" / "pretrain") == tmp_path / folder.name
    assert ram_folder(tmp_path / "others" / "pocket" / "pretrain").name != folder.name
    assert len(ram_folder(tmp_path / ("ä" * 100) / ("語" * 80)).name.encode()) < 256
