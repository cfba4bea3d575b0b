from pathlib import Path

import pytest

from pellucid.cli.main import build_parser
from pellucid.report.commands import command_of
from pellucid.report.facts import Facts

METRICS = [{"step": 0, "event": "start"}, {"step": 1, "loss": 2.0}, {"step": 7, "loss": 1.5}]


@pytest.mark.parametrize(
    ("file", "keys", "document", "command"),
    [
        ("plan/plan.json", ("tokens",), {}, "pellucid plan RECIPE"),
        ("pretrain/receipt.json", (), {}, "pellucid train RECIPE"),
        ("pretrain/metrics.jsonl", (2, "loss"), METRICS, "pellucid inspect RUN --stage pretrain --step 7"),
        ("pretrain/metrics.jsonl", (0, "peak_flops"), METRICS, "pellucid train RECIPE"),
        ("scores/manifest.json", ("seconds",), {}, "pellucid show RUN/scores"),
        ("evals/pocket/choices/result.json", (), {"suite": "choices"}, "pellucid evaluate RUN --suite choices"),
        ("throughput/throughput.json", (), {}, "pellucid throughput RUN"),
        ("ledger.jsonl", (0,), [], "pellucid verify RUN"),
    ],
)
def test_each_file_has_its_command_and_the_command_line_knows_it(
    file: str, keys: tuple[str | int, ...], document: object, command: str
) -> None:
    assert command_of(file, keys, document) == command
    build_parser().parse_args(command.split()[1:])


def test_a_number_of_a_run_has_its_command(finished_run: Path) -> None:
    assert Facts(finished_run).get("plan/plan.json", "tokens", "total").command == "pellucid plan RECIPE"
