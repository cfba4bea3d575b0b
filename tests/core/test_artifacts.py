import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pellucid.core.artifacts import Key, building, find_faults, fingerprint, is_current, read_manifest
from pellucid.core.errors import ArtifactError

KEY = Key("shards", 1, 7, {"width": 3}, {"documents": "abc"})


def build(path: Path, key: Key = KEY, text: str = "hello", *, in_place: bool = False) -> None:
    with building(path, key, in_place=in_place) as part:
        (part.path / "inner").mkdir(exist_ok=True)
        (part.path / "inner" / "file.txt").write_text(text)
        part.summary["words"] = 1


@pytest.mark.parametrize("in_place", [False, True])
def test_an_artifact_is_current_only_for_the_key_it_was_built_from(tmp_path: Path, in_place: bool) -> None:
    path = tmp_path / "shards"
    assert not is_current(path, KEY)
    build(path, in_place=in_place)
    assert is_current(path, KEY)
    assert read_manifest(path, "shards").summary == {"words": 1}
    for other in (
        Key("shards", 2, 7, {"width": 3}, {"documents": "abc"}),
        Key("shards", 1, 8, {"width": 3}, {"documents": "abc"}),
        Key("shards", 1, 7, {"width": 4}, {"documents": "abc"}),
        Key("shards", 1, 7, {"width": 3}, {"documents": "abd"}),
    ):
        assert not is_current(path, other)


def test_any_changed_added_or_missing_file_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    build(path)
    file = path / "inner" / "file.txt"
    assert find_faults(path) == []
    file.write_text("hellO")
    assert [fault for fault in find_faults(path) if "file.txt was altered" in fault]
    assert find_faults(path, digests=False) == []
    assert not is_current(path, KEY)
    file.write_text("hell")
    assert "has 4 bytes, its manifest says 5" in find_faults(path)[0]
    file.unlink()
    assert "is missing" in find_faults(path)[0]
    file.write_text("hello")
    (path / "stranger").write_text("?")
    assert "stranger is not in the manifest" in find_faults(path)[0]


def test_an_interrupted_build_is_continued_under_the_same_key_and_thrown_away_under_another(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    with pytest.raises(RuntimeError), building(path, KEY) as part:
        (part.path / "first").write_text("1")
        raise RuntimeError
    assert not path.exists()
    with building(path, KEY) as part:
        assert (part.path / "first").read_text() == "1"
    other = Key("shards", 1, 7, {"width": 9}, {})
    with pytest.raises(RuntimeError), building(path, other) as part:
        assert not (part.path / "first").exists()
        raise RuntimeError
    assert is_current(path, KEY), "the old artifact stays until the new one is whole"


def test_training_in_place_sets_aside_what_another_key_made_and_reopens_its_own(tmp_path: Path) -> None:
    path = tmp_path / "pretrain"
    build(path, in_place=True)
    other = Key("shards", 1, 8, {}, {})
    build(path, other, "other", in_place=True)
    assert is_current(path, other)
    assert is_current(tmp_path / "pretrain.superseded-1", KEY)
    (path / "inner" / "file.txt").write_text("damaged")
    with building(path, other, in_place=True) as part:
        assert not (path / "manifest.json").exists()
        assert (part.path / "inner" / "file.txt").read_text() == "damaged"
    assert not (tmp_path / "pretrain.superseded-2").exists()


def test_the_fingerprint_depends_on_contents_and_not_on_time(tmp_path: Path) -> None:
    build(tmp_path / "one")
    build(tmp_path / "two")
    build(tmp_path / "three", text="other")
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two") != fingerprint(tmp_path / "three")


def test_what_a_kill_left_half_written_is_cleared_away_and_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "pretrain"
    with building(path, KEY, in_place=True) as part:
        (part.path / ".metrics.jsonl.123.part").write_text("half")
        (part.path / "checkpoints" / ".step-00000002.part").mkdir(parents=True)
        (part.path / "checkpoints" / ".step-00000002.part" / "model.safetensors").write_text("half")
        (part.path / ".gitignore").write_text("*")
    assert read_manifest(path).outputs.keys() == {".gitignore"}
    assert {file.name for file in path.rglob("*")} == {".gitignore", "checkpoints", "manifest.json"}


def test_training_whose_own_account_is_damaged_is_neither_continued_nor_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "pretrain"
    build(path, in_place=True)
    (path / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest\.json is not JSON(.|\n)*rename the folder"):
        build(path, in_place=True)
    assert (path / "inner" / "file.txt").read_text() == "hello"
    path.rename(tmp_path / "old")
    build(path, in_place=True)
    assert is_current(path, KEY)


def test_a_manifest_of_another_kind_or_of_no_kind_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "one")
    with pytest.raises(ArtifactError, match="is a 'shards' artifact, expected 'documents'"):
        read_manifest(tmp_path / "one", "documents")
    (tmp_path / "one" / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactError, match="not a Pellucid manifest"):
        read_manifest(tmp_path / "one")
    (tmp_path / "one" / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match="is not JSON"):
        read_manifest(tmp_path / "one")


def test_damage_to_the_manifest_itself_is_found_whatever_it_hits(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    build(path)
    file = path / "manifest.json"
    whole = file.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :] for at in range(len(whole))]
    for data in [*damaged, whole[:-1], whole + b" ", b""]:
        file.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            find_faults(path)
        assert not is_current(path, KEY)
    file.write_bytes(whole)
    assert find_faults(path) == [] and is_current(path, KEY)


def test_a_build_killed_at_any_moment_leaves_the_old_artifact_or_none(tmp_path: Path) -> None:
    path = tmp_path / "shards"
    build(path, text="old")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from pellucid.core.artifacts import Key, building\n"
        "for n in range(10**6):\n"
        "    with building(Path(sys.argv[1]), Key('shards', 1, n, {}, {})) as part:\n"
        "        for name in 'abc':\n"
        "            (part.path / name).write_text(str(n) * 1000)\n"
        "    print(n, flush=True)\n"
    )
    for wait in range(1, 6):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(wait):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if path.exists():
            assert find_faults(path) == []
        else:  # killed between the two renames: the old artifact lies beside, whole
            assert find_faults(path.with_name(".shards.old")) == []


def test_an_artifact_may_lie_inside_another_and_counts_as_its_contents(tmp_path: Path) -> None:
    outer = tmp_path / "pretrain"
    with building(outer, KEY, in_place=True) as part:
        build(part.path / "checkpoints" / "step-1", text="inner")
    assert find_faults(outer) == []
    (outer / "checkpoints" / "step-1" / "manifest.json").write_text("{}")
    assert "step-1/manifest.json" in find_faults(outer)[0]


def test_a_clock_that_is_set_while_it_is_built_changes_no_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true, path = time.time, tmp_path / "shards"
    for hours in (-1, 1):
        with monkeypatch.context() as patched, building(path, Key("shards", 1, hours, {})) as part:
            (part.path / "file").write_text("x")
            patched.setattr(time, "time", lambda shift=3600 * hours: true() + shift)
        assert 0 <= read_manifest(path).seconds < 1800
