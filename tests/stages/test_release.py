import json
import shutil
from pathlib import Path

import pytest

from pellucid.core.artifacts import Key, read_manifest, seal
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.core.files import read_json, sha256_file
from pellucid.core.released import SUMS, sums_text
from pellucid.release.selection import PARTS
from pellucid.stages.release import Wishes, release_run
from pellucid.stages.verify import verify_run

pytest.importorskip("cyclonedx")
LICENCE = ("release.licence=Apache-2.0", "release.author=Ada Lovelace")


@pytest.fixture(scope="module")
def released(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("released") / "smoke"
    release_run(finished_run, out, Wishes(settings=LICENCE))
    return out


def contents(folder: Path) -> dict[str, str]:
    return {file.relative_to(folder).as_posix(): sha256_file(file) for file in folder.rglob("*") if file.is_file()}


def test_every_file_is_in_the_list_of_digests_and_right(released: Path) -> None:
    found = contents(released)
    del found[SUMS]
    assert (released / SUMS).read_text() == sums_text(found)
    expected = {"README.md", "release.json", "openness.json", "bom.cdx.json", "packages.lock", "croissant.json", "ledger.jsonl"}
    assert expected | {"recipe.resolved.yaml", "report/index.html", "code/pellucid/__init__.py"} <= found.keys()


def test_what_is_in_it_of_the_run_is_as_it_was_and_the_run_is_only_read(released: Path, finished_run: Path) -> None:
    run, copy = contents(finished_run), contents(released)
    assert all(copy[name] == run[name] for name in copy.keys() & run.keys())
    assert not {name for name in copy if name.endswith(".lock") and name != "packages.lock"}


def test_releasing_twice_gives_the_same_bytes(released: Path, finished_run: Path, tmp_path: Path) -> None:
    release_run(finished_run, tmp_path / "again", Wishes(settings=LICENCE))
    assert contents(tmp_path / "again") == contents(released)
    release_run(finished_run, tmp_path / "again", Wishes(settings=LICENCE))
    assert contents(tmp_path / "again") == contents(released)


def test_a_release_verifies_though_files_are_left_out(released: Path) -> None:
    assert verify_run(released).faults == []
    assert read_json(released / "release.json")["left_out"]


def test_a_run_that_does_not_verify_is_refused_unless_the_card_may_say_so(run_copy: Path, tmp_path: Path) -> None:
    plan = run_copy / "plan" / "plan.json"
    (run_copy / "scores" / "stray").write_text("x")
    with pytest.raises(ArtifactError, match=r"does not verify(.|\n)*scores/stray(.|\n)*--allow-faults"):
        release_run(run_copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    release_run(run_copy, tmp_path / "out", Wishes(allow_faults=True))
    assert "does not verify" in (tmp_path / "out" / "README.md").read_text()
    assert read_json(tmp_path / "out" / "release.json")["faults"] and not (tmp_path / "out" / "scores" / "stray").exists()
    plan.write_text(plan.read_text().replace("1", "2", 1))
    with pytest.raises(ArtifactError, match="not what its manifest says"):
        release_run(run_copy, tmp_path / "other", Wishes(allow_faults=True))


def test_a_secret_that_got_into_the_run_is_not_published(run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "cAnArY-0815-4711")
    (run_copy / "notes.txt").write_text("log in with cAnArY-0815-4711")
    with pytest.raises(ArtifactError) as told:
        release_run(run_copy, tmp_path / "out", Wishes(allow_faults=True))
    assert "SOME_TOKEN in notes.txt" in str(told.value) and "cAnArY" not in str(told.value)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    release_run(run_copy, tmp_path / "out", Wishes(public=("SOME_TOKEN",), allow_faults=True))


def test_texts_without_leave_stay_behind_and_leave_can_be_stated(run_copy: Path, tmp_path: Path) -> None:
    folder = run_copy / "conversations"
    about = folder / "chatterbot" / "train" / "about.jsonl"
    about.write_text(about.read_text().replace("BSD-3-Clause", "LicenseRef-ours"))
    was = read_manifest(folder)
    seal(folder, Key(was.kind, was.schema_version, was.seed, was.config, was.inputs), summary=was.summary, started=0.0)
    release_run(run_copy, tmp_path / "out", Wishes(allow_faults=True))
    told = read_json(tmp_path / "out" / "release.json")
    assert "LicenseRef-ours" in told["kept_back"]["chatterbot"]
    assert not (tmp_path / "out" / "conversations" / "chatterbot" / "train" / "ids.npy").exists()
    assert (tmp_path / "out" / "conversations" / "instructions" / "train" / "ids.npy").is_file()
    leave = Wishes(allow_faults=True, settings=("release.redistribute=LicenseRef-ours",))
    release_run(run_copy, tmp_path / "out", leave)
    assert read_json(tmp_path / "out" / "release.json")["kept_back"] == {}
    assert (tmp_path / "out" / "conversations" / "chatterbot" / "train" / "ids.npy").is_file()


@pytest.mark.parametrize("text", ["licence", "release.license=MIT", "name=other", "train.0.seq_tokens=1"])
def test_only_the_section_release_can_be_set(finished_run: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"must be KEY=VALUE with one of release\.licence"):
        release_run(finished_run, tmp_path / "out", Wishes(settings=(text,)))


def test_a_release_is_not_released_again(released: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a release itself"):
        release_run(released, tmp_path / "out")


def test_a_file_that_is_missing_is_named_though_faults_are_allowed(run_copy: Path, tmp_path: Path) -> None:
    (run_copy / "plan" / "plan.json").unlink()
    with pytest.raises(ArtifactError, match=r"plan/plan\.json is missing"):
        release_run(run_copy, tmp_path / "out", Wishes(allow_faults=True))


def test_places_where_no_release_may_be_are_refused_before_any_work(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outside the run"):
        release_run(finished_run, finished_run / "release")
    (tmp_path / "full").mkdir()
    shutil.copy(finished_run / "recipe.resolved.yaml", tmp_path / "full" / "x")
    with pytest.raises(UsageError, match="no release"):
        release_run(finished_run, tmp_path / "full")


def test_a_full_disk_is_explained(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from pellucid.core.errors import DiskFullError
    from pellucid.release import folder

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(folder, "fsync_tree", full)
    with pytest.raises(DiskFullError, match="no room left"):
        release_run(finished_run, tmp_path / "out", Wishes(without=("documents", "shards", "code")))
    assert list(tmp_path.iterdir()) == []


def test_the_account_says_when_the_code_is_another(released: Path) -> None:
    told = json.loads((released / "release.json").read_text())
    assert told["code_remark"] == "" and told["package_differences"] == [] and told["openness"] == "Class II - Open Tooling Model"


def test_a_release_without_anything_that_can_be_left_out_verifies_too(finished_run: Path, tmp_path: Path) -> None:
    wishes = Wishes(without=tuple(PARTS), checkpoints="none")
    release_run(finished_run, tmp_path / "out", wishes)
    assert verify_run(tmp_path / "out").faults == []


def test_a_page_that_is_left_out_is_stood_in_for_and_nothing_else_may_lie_there(finished_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    release_run(finished_run, out, Wishes(without=("documents",)))
    page = out / "report" / "data.html"
    assert "asked: --without documents" in page.read_text() and 'href="data.html"' in (out / "report" / "index.html").read_text()
    assert verify_run(out).faults == []
    page.write_text(page.read_text() + " ")
    assert any("data.html" in fault for fault in verify_run(out).faults)
