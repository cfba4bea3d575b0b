from pathlib import Path

import pytest

from pellucid.cli.main import main
from pellucid.evals.suites import SUITES


def test_without_a_suite_those_that_there_are_are_listed(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(finished_run)]) == 2
    said = capsys.readouterr().err
    assert all(f"--suite {name}" in said for name in SUITES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["RUN", "--suite", "hellaswag"], "there is no suite 'hellaswag'"),
        (["RUN", "--suite", "choices", "--limit", "0"], "--limit 0: must be at least 1"),
        (["RUN", "--suite", "needle", "--set", "needle.depth=3"], "did you mean depths?"),
        (["recipes/pocket-smoke.yaml", "--suite", "choices"], "--suite is for a model"),
        (["no-such-run", "--suite", "choices"], "no-such-run does not exist"),
        (["RUN", "--suite", "mt_bench", "--judge", "no-such-judge"], "no-such-judge does not exist"),
        (["RUN", "--suite", "choices", "--shards", "/nowhere"], "/nowhere/shards"),
        (["http://127.0.0.1:9", "--suite", "needle", "--set", "endpoint.attempts=1"], "127.0.0.1:9"),
    ],
)
def test_a_wrong_call_is_told_before_anything_is_scored(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    call = [str(finished_run) if one == "RUN" else one for one in arguments]
    assert main(["evaluate", *call, "--out", str(tmp_path / "out")]) in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
