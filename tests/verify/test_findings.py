from pathlib import Path

from pellucid.core.errors import ArtifactError
from pellucid.verify.findings import Findings, guarded


def test_a_fault_is_one_line_with_file_fault_and_fix() -> None:
    findings = Findings("a", "b", "files")
    findings.fault(Path("run/x\ny"), "is missing", "make it again")
    assert findings.faults == ["run/x\\ny is missing; make it again"]


def test_what_cannot_be_read_is_a_fault_of_its_file_and_the_check_goes_on() -> None:
    findings = Findings("a", "b", "files")

    def missing_key() -> None:
        raise KeyError("steps")

    def other_file() -> None:
        raise ArtifactError("run/other is missing")

    def same_file() -> None:
        raise ArtifactError("run/file is not JSON")

    for check in (missing_key, other_file, same_file):
        guarded(findings, Path("run/file"), check)
    assert findings.faults[0].startswith("run/file does not hold what is expected there (KeyError: 'steps')")
    assert findings.faults[1:] == ["run/file: run/other is missing", "run/file is not JSON"]
