import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from pellucid.cli.main import main


def test_a_step_is_opened_and_its_digests_are_those_of_the_shards(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(finished_run), "--step", "7", "--json"]) == 0
    step = json.loads(capsys.readouterr().out)
    assert len(step["sequences"]) == step["batch_seqs"] == 8
    for sequence in step["sequences"]:
        tokens = np.fromfile(finished_run / "shards" / sequence["source"] / "train" / "00000.bin", dtype="<u2")
        window = tokens[sequence["start_token"] : sequence["start_token"] + step["seq_tokens"] + 1]
        assert sha256(window.astype("<u4").tobytes()).hexdigest() == sequence["sha256"]
        assert sum(document["tokens"] for document in sequence["documents"]) == step["seq_tokens"] + 1


def test_the_table_shows_documents_licences_and_text(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(finished_run), "--step", "1", "--text"]) == 0
    shown = capsys.readouterr().out
    assert "step 1 of 30 in pretrain: 8 sequences of 128 tokens" in shown
    assert "by source:" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--step", "31"], "has steps 1 to 30"),
        (["--step", "0"], "has steps 1 to 30"),
        (["--step", "1", "--stage", "nosuch"], "it has pretrain"),
    ],
)
def test_a_step_or_stage_that_is_not_there_is_a_usage_error(
    finished_run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["inspect", str(finished_run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path), "--step", "1"]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_a_page_of_a_step_and_its_text(finished_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(finished_run), "--step", "2", "--json", "--whole", "--first", "3", "--count", "2"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert [sequence["index"] for sequence in page["sequences"]] == [10, 11]
    assert all(piece["text"] for sequence in page["sequences"] for piece in sequence["pieces"])
    assert main(["inspect", str(finished_run), "--step", "2", "--first", "9"]) == 2
    assert "has 8 sequences" in capsys.readouterr().err
