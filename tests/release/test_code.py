import subprocess
import sys
from pathlib import Path

from pellucid.core.environment import code_version
from pellucid.release.code import code_remark, write_code


def test_the_copied_code_runs_and_is_the_code_that_runs_here(tmp_path: Path) -> None:
    written = write_code(tmp_path)
    assert "code/pellucid/cli/main.py" in written and "code/pellucid/release/licences.yaml" in written
    assert not [name for name in written if "__pycache__" in name or name.endswith(".pyc")]
    program = "from pellucid.core.environment import code_version; print(code_version())"
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "code")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == code_version().partition(".git.")[0], done.stderr


def test_code_of_another_version_is_told() -> None:
    own = code_version()
    assert code_remark([own, own.partition(".git.")[0] + ".git.0123456789ab"]) == ""
    assert "made by 0.0.1+src.beef" in code_remark([own, "0.0.1+src.beef"])
