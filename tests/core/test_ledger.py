from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.core.ledger import Ledger, read_ledger


def test_events_come_back_in_order_and_chained(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for number in range(3):
        ledger.append("start", stage="documents", number=number)
    assert [event["number"] for event in read_ledger(ledger.path)] == [0, 1, 2]


@pytest.mark.parametrize("edit", ["change", "remove", "insert"])
def test_an_edited_removed_or_inserted_line_breaks_the_chain(tmp_path: Path, edit: str) -> None:
    ledger = Ledger(tmp_path)
    for number in range(4):
        ledger.append("start", number=number)
    lines = ledger.path.read_text().splitlines()
    if edit == "change":
        lines[1] = lines[1].replace('"number":1', '"number":9')
    elif edit == "remove":
        del lines[1]
    else:
        lines.insert(1, lines[0])
    ledger.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ArtifactError, match=r"ledger\.jsonl:[23]"):
        list(read_ledger(ledger.path))


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_chain_goes_on(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("start", number=0)
    ledger.append("end", number=1)
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole[:-5])
    assert [event["number"] for event in read_ledger(ledger.path)] == [0]
    ledger.append("end", number=2)
    assert [event["number"] for event in read_ledger(ledger.path)] == [0, 2]
