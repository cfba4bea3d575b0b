from collections.abc import Callable
from pathlib import Path

from pellucid.verify.evidence import Evidence
from pellucid.verify.release import check_release


def faults_of(run: Path) -> list[str]:
    return check_release(Evidence(run)).faults


def test_a_run_is_no_release_and_that_is_said(finished_run: Path) -> None:
    findings = check_release(Evidence(finished_run))
    assert findings.faults == [] and findings.looked == 0 and "no release" in findings.notes[0]


def test_a_release_holds_exactly_what_its_list_says(run_copy: Path, release: Callable[..., Path]) -> None:
    run = release(run_copy)
    findings = check_release(Evidence(run))
    assert findings.faults == [] and findings.looked == len([path for path in run.rglob("*") if path.is_file()]) - 1
    card = run / "README.md"
    card.write_text("# Another card\n")
    (run / "added").touch()
    (run / "plan" / "plan.json").unlink()
    assert sorted(line.split(" ")[0] for line in faults_of(run)) == [
        str(run / name) for name in ("README.md", "added", "plan/plan.json")
    ]


def test_a_list_that_was_touched_is_named(run_copy: Path, release: Callable[..., Path]) -> None:
    sums = release(run_copy) / "SHA256SUMS"
    whole = sums.read_bytes()
    for altered in (
        whole[:-1],
        whole + b"\n",
        whole.replace(b"\n", b"\r\n", 1),
        whole.upper(),
        b"".join(sorted(whole.splitlines(keepends=True), reverse=True)),
        whole.replace(b"  ", b" ", 1),
        b"",
    ):
        sums.write_bytes(altered)
        assert any("SHA256SUMS" in line for line in faults_of(run_copy)), altered[:80]


def test_a_list_of_what_is_left_out_must_make_sense(
    run_copy: Path, release: Callable[..., Path], rewrite: Callable[..., None]
) -> None:
    run = release(run_copy)
    rewrite(run / "release.json", lambda told: told["left_out"].append({"path": "/etc/passwd", "sha256": "", "bytes": 1}))
    assert any("release.json left_out" in line for line in faults_of(run))
    (run / "release.json").write_text('{"left_out": 3}')
    assert any(line.startswith(f"{run / 'release.json'} does not hold") for line in faults_of(run))
