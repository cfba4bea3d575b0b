import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.checkpoint import files
from pellucid.checkpoint.files import checkpoint_step, load_checkpoint, read_section, save_checkpoint
from pellucid.checkpoint.retention import latest_good
from pellucid.core.errors import ArtifactError, DiskFullError

META = {"seed": 3, "step": 7, "model": {"layers": 2}}


def state(scale: float = 1.0, rows: int = 6) -> dict[str, object]:
    weight = torch.arange(rows * 4, dtype=torch.float32).reshape(rows, 4) * scale
    return {
        "model": {"a.weight": weight, "tied.weight": weight, "row": weight[1], "half": weight.bfloat16()},
        "optimizer": {"a.weight": {"exp_avg": weight + 1, "step": torch.tensor(3.0)}},
        "random": {"torch": torch.get_rng_state()},
        "progress": {"tokens": 2**40, "loss": 0.1 + 0.2, "skipped": [[1, 2]], "by_source": {"wiki": 1e-17}, "none_yet": {}},
    }


def equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and {k for k, v in a.items() if v != {}} == set(b) and all(equal(a[k], b[k]) for k in b)
    return a == b


def test_state_and_meta_come_back_as_they_were(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 7, state(), meta=META)
    assert path.name == "step-00000007"
    assert checkpoint_step(path) == 7
    loaded, meta = load_checkpoint(path)
    assert equal(state(), loaded)
    assert meta == META
    assert sorted(file.name for file in path.iterdir()) == [
        "manifest.json", "model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json",
    ]  # fmt: skip
    section, _ = read_section(path, "model")
    assert torch.equal(section["a.weight"], section["tied.weight"])
    assert not list(tmp_path.glob(".*"))


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (save_checkpoint(tmp_path / name, 1, state(), meta=META) for name in "ab")
    for file in ("model.safetensors", "optimizer.safetensors", "state.json"):
        assert (first / file).read_bytes() == (second / file).read_bytes()


@settings(max_examples=20, deadline=None)
@given(
    values=st.dictionaries(
        st.text(st.characters(categories=("L", "N"), include_characters="._-"), min_size=1, max_size=8).filter(
            lambda k: "/" not in k
        ),
        st.one_of(
            st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5), st.booleans()
        ),
        max_size=5,
    )
)
def test_plain_values_survive_exactly(values: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = save_checkpoint(tmp_path_factory.mktemp("plain"), 1, {"progress": {**values, "always": 1}}, meta={})
    assert load_checkpoint(path)[0]["progress"] == {**values, "always": 1}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, harm: str) -> None:
    path = save_checkpoint(tmp_path, 1, state(), meta=META)
    data = bytearray((path / name).read_bytes())
    if harm == "flip":
        data[-3] ^= 1
    if harm == "cut":
        data = data[:-1]
    (path / name).write_bytes(data)
    if harm == "remove":
        (path / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_checkpoint(path)


def test_a_folder_without_manifest_or_of_another_format_is_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as future:
        future.setattr(files, "SCHEMA_VERSION", 9)
        path = save_checkpoint(tmp_path, 1, state(), meta=META)
    with pytest.raises(ArtifactError, match="format 9; this version reads 1"):
        load_checkpoint(path)
    (path / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json is missing"):
        load_checkpoint(path)


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state(), meta=META)
    path = save_checkpoint(tmp_path, 1, state(2.0), meta=META)
    assert equal(state(2.0), load_checkpoint(path)[0])
    assert [file.name for file in tmp_path.iterdir()] == ["step-00000001"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    made = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)], capture_output=True, check=False
    ).returncode == 0  # fmt: skip
    if not made:
        pytest.skip("a small file system cannot be mounted here")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("rows", [10_000, 20_000])
def test_a_full_disk_is_said_and_the_older_checkpoint_stays_intact(small_disk: Path, rows: int) -> None:
    old = save_checkpoint(small_disk, 1, state(), meta=META)
    with pytest.raises(DiskFullError, match="no room left"):
        save_checkpoint(
            small_disk, 2, {"model": {"weight": torch.ones(rows, 4)}, "optimizer": {"x": torch.ones(rows, 4)}}, meta=META
        )
    assert [file.name for file in small_disk.iterdir()] == [old.name]
    assert equal(state(), load_checkpoint(old)[0])


@pytest.mark.parametrize("exception", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_breaks_off_leaves_no_half_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: BaseException
) -> None:
    old = save_checkpoint(tmp_path, 1, state(), meta=META)

    def fail(*_: object, **__: object) -> None:
        raise exception

    monkeypatch.setattr("pellucid.checkpoint.files.write_json", fail)
    with pytest.raises((DiskFullError, KeyboardInterrupt)):
        save_checkpoint(tmp_path, 2, state(), meta=META)
    assert [file.name for file in tmp_path.iterdir()] == [old.name]


SAVER = """
import sys, torch
from pathlib import Path
from pellucid.checkpoint.files import save_checkpoint
step = 0
while True:
    step += 1
    save_checkpoint(Path(sys.argv[1]), step, {"model": {"w": torch.full((200_000,), float(step))}}, meta={})
    print(step, flush=True)
"""


def test_a_save_killed_at_any_moment_leaves_the_newest_whole_one_readable(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.0371)
    process.send_signal(signal.SIGKILL)
    said = [1, *(int(line) for line in process.stdout.read().split())]
    process.wait()
    good = latest_good(tmp_path)
    assert good is not None
    step = checkpoint_step(good)
    assert step in (max(said), max(said) + 1)
    assert load_checkpoint(good)[0]["model"]["w"][0].item() == step
