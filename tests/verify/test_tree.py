import hashlib
import os
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.verify import tree as tree_module
from pellucid.verify.tree import Tree, is_hidden, plain


def test_every_file_is_found_with_its_size_and_digest(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"text")
    (tmp_path / "empty").touch()
    tree = Tree(tmp_path)
    assert tree.files == {"a/b/file": 4, "empty": 0}
    tree.digest_all()
    assert tree.digest("a/b/file") == hashlib.sha256(b"text").hexdigest()
    assert (tree.links, tree.others, tree.unreadable) == ([], [], {})


def test_links_and_pipes_are_named_and_neither_followed_nor_opened(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("{}")
    run = tmp_path / "run"
    run.mkdir()
    (run / "folder").symlink_to(outside)
    (run / "file").symlink_to(outside / "secret")
    (run / "broken").symlink_to(run / "nowhere")
    os.mkfifo(run / "pipe")
    tree = Tree(run)
    tree.digest_all()
    assert tree.files == {} and sorted(tree.links) == ["broken", "file", "folder"] and tree.others == ["pipe"]
    with pytest.raises(ArtifactError, match="is a link"):
        tree.read("file")
    # Whoever puts the link there after the walk gets nothing either.
    tree.files["file"] = 2
    with pytest.raises(ArtifactError, match="cannot be read"):
        tree.read("file")
    assert tree.digest("file") == "" and "file" in tree.unreadable


def test_a_long_chain_of_folders_is_walked(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "f").write_text("x")
    assert Tree(tmp_path).files == {f"{'d/' * 300}f": 1}


def test_folders_that_are_left_out_are_not_walked(tmp_path: Path) -> None:
    for name in ("report", "plan"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").touch()
    assert list(Tree(tmp_path, {"report"}).files) == ["plan/f"]


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_module, "MAX_READ_BYTES", 10)
    (tmp_path / "large.json").write_text("[1, 2, 3, 4, 5]")
    (tmp_path / "line.jsonl").write_text('{"a": 1}\n{"a": "long"}\n')
    tree = Tree(tmp_path)
    with pytest.raises(ArtifactError, match=r"large.json has 15 bytes; .* at most 10"):
        tree.json("large.json")
    with pytest.raises(ArtifactError, match="line 2 has 10 bytes or more"):
        list(tree.records("line.jsonl"))


def test_damaged_json_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n[2]\n')
    (tmp_path / "b.jsonl").write_text('{"a": 1}\n{"a": 1\n')
    (tmp_path / "c.json").write_text("[" * 100_000)
    tree = Tree(tmp_path)
    with pytest.raises(ArtifactError, match=r"a.jsonl, line 2 is no JSON object"):
        list(tree.records("a.jsonl"))
    with pytest.raises(ArtifactError, match=r"b.jsonl, line 2 is not JSON"):
        list(tree.records("b.jsonl"))
    with pytest.raises(ArtifactError, match=r"c.json is not JSON"):
        tree.json("c.json")
    with pytest.raises(ArtifactError, match="is missing"):
        tree.json("d.json")


def test_a_line_that_a_kill_cut_short_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 2}\n{"a"')
    assert [one["a"] for one in Tree(tmp_path).records("a.jsonl")] == [1, 2]


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert plain("a\x1b[31mred\nb\u202eexe\udcff") == "a\\x1b[31mred\\nb\\u202eexe\\udcff"
    assert plain("Grüße, 漢字 ✓") == "Grüße, 漢字 ✓"


def test_what_is_written_or_dropped_is_told_by_its_name() -> None:
    assert is_hidden(".shards.part/a/0.bin") and is_hidden("pretrain/checkpoints/.step-00000001.dropped/x")
    assert not is_hidden("shards/a.part") and not is_hidden(".lock")
