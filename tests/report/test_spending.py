import re
from pathlib import Path

import pytest

from pellucid.core.files import read_json, write_json
from pellucid.core.ledger import LEDGER, Ledger, read_ledger
from pellucid.core.spending import ACCOUNT, account_of
from pellucid.core.units import format_duration
from pellucid.report.facts import Facts, resolve
from pellucid.report.spending import ledger, spending
from pellucid.stages.account import spending_rates
from pellucid.stages.attempt import attempt
from pellucid.stages.run_folder import open_recipe


def renewed(run: Path) -> None:
    """Make the run's account anew, as the stage would."""
    write_json(run / ACCOUNT, account_of(read_ledger(run / LEDGER), spending_rates(open_recipe(run).plan)))


def test_every_stage_has_its_cost_and_all_of_them_a_sum(finished_run: Path) -> None:
    recipe, account = open_recipe(finished_run), read_json(finished_run / ACCOUNT)
    text = str(spending(Facts(finished_run), recipe))
    for words in ("What it cost", "pretrain", "self knowledge", "CO2e", "PUE of the data centre", "Time by stage"):
        assert words in text
    assert format_duration(account["total"]["hours"] * 3600) in text
    assert "Attempts that came to no end" not in text
    assert text.index("'tokenizer'") < text.index("'pretrain'") < text.index("'export'"), "in the order of the flow"
    assert ("Estimated: watts of the recipe" in text) == (account["total"]["kwh_estimated"] > 0)


def test_attempts_without_an_end_stand_apart_with_what_is_known_of_them(run_copy: Path) -> None:
    with pytest.raises(ValueError, match="no luck"), attempt(run_copy, "sft"):
        raise ValueError("no luck")
    Ledger(run_copy).append("start", stage="dpo", attempt=2, continues=True)
    Ledger(run_copy).append("killed", stage="dpo", attempt=2, seconds=7.0, message="killed; last seen after 7 s")
    renewed(run_copy)
    text = str(spending(Facts(run_copy), open_recipe(run_copy)))
    for words in ("Attempts that came to no end", "sft, 2", "failed", "no luck", "dpo, 2", "killed; last seen after 7 s", "7.0 s"):
        assert words in text
    told = str(ledger(Facts(run_copy), open_recipe(run_copy)))
    assert "went on from what an earlier attempt had left" in told


def test_numbers_of_attempts_point_to_their_lines_of_the_ledger(run_copy: Path) -> None:
    with pytest.raises(KeyboardInterrupt), attempt(run_copy, "sft"):
        raise KeyboardInterrupt
    renewed(run_copy)
    text = str(spending(Facts(run_copy), open_recipe(run_copy)))
    account, lines = read_json(run_copy / ACCOUNT), list(read_ledger(run_copy / LEDGER))
    line = account["attempts"][-1]["last_line"] - 1
    assert f"/{line}/seconds" in text and resolve(lines, f"/{line}/seconds") == account["attempts"][-1]["seconds"]
    assert lines[line]["event"] == "stop"


def test_the_ledger_shows_its_last_digest_and_counts(finished_run: Path) -> None:
    account = read_json(finished_run / ACCOUNT)
    text = str(ledger(Facts(finished_run), open_recipe(finished_run)))
    last = list(read_ledger(finished_run / LEDGER))[account["ledger"]["lines"] - 1]
    assert last["event"] == "end" and last["sha256"][:16] in text and "training steps that were not applied" in text


def test_an_older_run_says_what_its_ledger_tells_and_no_energy(run_copy: Path) -> None:
    account = read_json(run_copy / ACCOUNT)
    events = [
        {"event": "start", "at": "2026-11-22T23:25:10Z", "stage": "plan"},
        {"event": "stop", "at": "2026-11-22T23:25:10Z", "stage": "plan", "seconds": 60.0, "message": "Stopped."},
    ]
    lines = (run_copy / LEDGER).read_bytes().splitlines(keepends=True)
    assert len(lines) > account["ledger"]["lines"]
    (run_copy / LEDGER).write_bytes(b"".join(re.sub(rb'"energy":\{.*?"cpu_s":[\d.]+\},', b"", line) for line in lines))
    write_json(run_copy / ACCOUNT, account_of(events, spending_rates(open_recipe(run_copy).plan)))
    text = str(spending(Facts(run_copy), open_recipe(run_copy)))
    assert "energy was not written down" in text and "1 min 00 s" in text
    assert "Measured by" not in text and "'CO2e'" not in text, "no columns for what nobody wrote down"


def test_without_an_account_there_is_no_section(tmp_path: Path, finished_run: Path) -> None:
    recipe = open_recipe(finished_run)
    assert spending(Facts(tmp_path), recipe) is None and ledger(Facts(tmp_path), recipe) is None
