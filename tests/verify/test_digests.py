import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pellucid.core.ledger import Ledger
from pellucid.verify.digests import check_digests
from pellucid.verify.evidence import Evidence


def faults_of(run: Path) -> list[str]:
    return check_digests(Evidence(run)).faults


def test_every_file_of_a_finished_run_is_accounted_for(finished_run: Path) -> None:
    findings = check_digests(Evidence(finished_run))
    assert findings.faults == []
    # All but what lies in no artifact, and the manifests themselves.
    files = [path for path in finished_run.rglob("*") if path.is_file() and path.parent != finished_run]
    assert findings.looked == len(files) - len(list(finished_run.glob("*/manifest.json")))


def test_what_is_altered_cut_short_gone_or_new_is_named(run_copy: Path) -> None:
    plan, shard = run_copy / "plan" / "plan.json", next((run_copy / "shards").rglob("*.bin"))
    plan.write_bytes(plan.read_bytes().replace(b"1", b"2", 1))
    shard.write_bytes(shard.read_bytes()[:-1])
    (run_copy / "scores" / "heldout.json").unlink()
    (run_copy / "sft" / "more").touch()
    (run_copy / "stray.txt").touch()
    (run_copy / "unknown").mkdir()
    (run_copy / "unknown" / "x").touch()
    said = faults_of(run_copy)
    wanted = {
        plan: "was altered",
        shard: "its manifest says",
        run_copy / "scores" / "heldout.json": "is missing",
        run_copy / "sft" / "more": "is not in the manifest",
        run_copy / "stray.txt": "is not in any manifest",
        run_copy / "unknown" / "x": "is not in any manifest",
    }
    assert len(said) == len(wanted)
    for file, what in wanted.items():
        assert sum(line.startswith(f"{file} ") and what in line for line in said) == 1, (file, said)


def test_a_manifest_is_checked_by_its_own_digest(run_copy: Path) -> None:
    file = run_copy / "tokenizer" / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
    assert any(line.startswith(f"{file} was altered") for line in faults_of(run_copy))


def test_a_stage_that_has_lost_its_manifest_is_one_fault_and_one_under_way_is_none(run_copy: Path) -> None:
    (run_copy / "shards" / "manifest.json").unlink()
    (run_copy / "pretrain" / "manifest.json").unlink()
    (run_copy / "pretrain" / "building.json").write_text("{}")
    Ledger(run_copy).append("start", stage="pretrain", attempt=2)
    (run_copy / ".exports.part").mkdir()
    (run_copy / ".exports.part" / "half").touch()
    findings = check_digests(Evidence(run_copy))
    assert [line.split(" ")[0] for line in findings.faults] == [str(run_copy / "shards" / "manifest.json")]
    assert "pretrain is still being made; its files were not looked at" in findings.notes
    assert ".exports.part is what an interrupted write left; it was not looked at" in findings.notes


def test_a_file_that_says_it_is_being_made_hides_no_folder_that_the_ledger_has_not_begun(run_copy: Path) -> None:
    weights = next((run_copy / "pretrain" / "checkpoints").rglob("model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    (run_copy / "pretrain" / "manifest.json").unlink()
    for folder in ("pretrain", "evil", "evals/pretrain/choices"):
        (run_copy / folder).mkdir(parents=True, exist_ok=True)
        (run_copy / folder / "building.json").write_text("{}")
    (run_copy / "evil" / "malware.bin").touch()
    findings = check_digests(Evidence(run_copy))
    files = ("evals/pretrain/choices/building.json", "evil/building.json", "evil/malware.bin", "pretrain/manifest.json")
    assert sorted(line.split(" ")[0] for line in findings.faults) == [str(run_copy / name) for name in files]
    assert not any("still being made" in note for note in findings.notes)
    # A suite's attempts name no folder when they start.
    Ledger(run_copy).append("start", stage="evaluate --suite choices", attempt=1)
    assert "evals/pretrain/choices is still being made; its files were not looked at" in check_digests(Evidence(run_copy)).notes


def test_job_files_are_named_since_nothing_has_a_digest_of_them(run_copy: Path, release: Callable[..., Path]) -> None:
    (run_copy / "launch").mkdir()
    for number in range(9):
        (run_copy / "launch" / f"job-{number}.sh").touch()
    findings = check_digests(Evidence(run_copy))
    (note,) = [note for note in findings.notes if note.startswith("job files, of which nothing here has a digest")]
    assert "launch/job-0.sh" in note and note.endswith("launch/job-7.sh and 1 more") and findings.faults == []
    # A release's own list has them.
    assert not any("job files" in note for note in check_digests(Evidence(release(run_copy))).notes)


def test_links_pipes_and_files_that_may_not_be_read_are_faults(run_copy: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    shutil.copy(run_copy / "plan" / "plan.json", secret)
    (run_copy / "plan" / "plan.json").unlink()
    # The very bytes, but elsewhere: it is not followed to find out.
    (run_copy / "plan" / "plan.json").symlink_to(secret)
    os.mkfifo(run_copy / "pipe")
    said = faults_of(run_copy)
    assert any("plan.json is a link" in line for line in said) and any("pipe is no regular file" in line for line in said)


def test_what_a_release_leaves_out_is_no_fault_unless_it_was_another_file(
    run_copy: Path, release: Callable[..., Path], rewrite: Callable[..., None]
) -> None:
    names = [f"pretrain/checkpoints/step-00000020/{part}.safetensors" for part in ("model", "optimizer")]
    run = release(run_copy, names)
    findings = check_digests(Evidence(run))
    assert findings.faults == [] and any("2 files are left out" in note for note in findings.notes)
    rewrite(run / "release.json", lambda told: told["left_out"][0].update(bytes=7))
    assert [line.split(" ")[0] for line in faults_of(run)] == [str(run / "release.json")]
