from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.artifacts import Key, seal
from pellucid.verify.evidence import Evidence
from pellucid.verify.scores import check_scores


def faults_of(run: Path) -> list[str]:
    return check_scores(Evidence(run)).faults


def test_every_score_of_a_finished_run_is_what_its_items_give(finished_run: Path) -> None:
    findings = check_scores(Evidence(finished_run))
    assert findings.faults == [] and findings.looked > 500
    assert {"scores/heldout.json", "pretrain/curves.json"} < set(findings.checked)
    assert any(name.startswith("benchmarks/") for name in findings.checked)


def test_a_score_that_was_made_better_is_named_with_its_place(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def better(told: dict[str, Any]) -> None:
        told["bits_per_byte"]["by_source"]["three-js.en"]["model"] -= 0.01
        told["bits_per_byte"]["all"] -= 0.001

    rewrite(run_copy / "scores" / "heldout.json", better)
    said = faults_of(run_copy)
    file = run_copy / "scores" / "heldout.json"
    assert [line.split(":")[0] for line in said] == [
        f"{file} bits_per_byte.all",
        f"{file} bits_per_byte.by_source.three-js.en.model",
    ]


def test_documents_that_were_taken_out_show(run_copy: Path) -> None:
    file = run_copy / "scores" / "heldout.documents.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[1:]))
    assert any("bits_per_byte.total.documents" in line for line in faults_of(run_copy))


def test_an_item_of_a_suite_that_turned_right_shows_in_its_table(run_copy: Path, write_result: Callable[..., Path]) -> None:
    folder = write_result(run_copy / "evals" / "pretrain", "choices", "pocket", {"piqa": 0.5}, items=9)
    seal(folder, Key("suite", 1, 1, {}), summary={}, started=0.0)
    assert faults_of(run_copy) == []
    items = folder / "items.jsonl"
    records = [orjson.loads(line) for line in items.read_bytes().splitlines()]
    wrong = next(record for record in records if record["scores"]["acc"] == 0)
    wrong["scores"]["acc"] = 1.0
    items.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    assert any(line.startswith(f"{folder / 'result.json'} tasks.piqa.metrics.acc.value") for line in faults_of(run_copy))
    items.write_text("[]\n")
    assert any("items.jsonl, line 1 is no record" in line for line in faults_of(run_copy))


def test_a_curve_that_was_bent_shows(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def bend(told: dict[str, Any]) -> None:
        task = sorted(told["tasks"])[0]
        told["tasks"][task]["metrics"]["bits_per_byte"]["points"][-1]["value"] *= 0.9

    rewrite(run_copy / "pretrain" / "curves.json", bend)
    assert any("pretrain/curves.json tasks." in line and "points[" in line for line in faults_of(run_copy))


def test_what_the_items_say_of_nothing_is_not_compared(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(run_copy / "scores" / "heldout.json", lambda told: told["bits_per_byte"]["total"].update(xz=9.0))
    assert faults_of(run_copy) == []
    (run_copy / "scores" / "heldout.documents.jsonl").unlink()
    findings = check_scores(Evidence(run_copy))
    assert findings.faults == [] and any("cannot be worked out" in note for note in findings.notes)
