from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from pellucid.verify.counts import check_counts
from pellucid.verify.evidence import Evidence


def faults_of(run: Path, *, deep: bool = False) -> list[str]:
    return check_counts(Evidence(run, deep=deep)).faults


def test_all_that_was_read_is_somewhere(finished_run: Path) -> None:
    for deep in (False, True):
        findings = check_counts(Evidence(finished_run, deep=deep))
        assert findings.faults == [] and findings.looked > 1000
        assert {"documents/funnel.json", "conversations/funnel.json"} < set(findings.checked)


def test_a_funnel_that_does_not_add_up_is_named(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(run_copy / "documents" / "funnel.json", lambda told: told["sources"]["human-rights.fr"].update(read=10**6))
    rewrite(
        run_copy / "conversations" / "funnel.json", lambda told: told["sources"]["chatterbot"]["splits"]["train"].update(tokens=1)
    )
    said = faults_of(run_copy)
    assert any("documents/funnel.json human-rights.fr: read: expected" in line and "got 1000000" in line for line in said)
    assert any("conversations/chatterbot/train/examples.json tokens: expected 1; got" in line for line in said)


def test_a_document_that_is_not_in_the_shards_shows(run_copy: Path, rewrite: Callable[..., None]) -> None:
    def less(told: dict[str, int]) -> None:
        told["documents"] -= 1

    rewrite(run_copy / "shards" / "three-js.en" / "train" / "index.json", less)
    assert any("shards/three-js.en/train/index.json documents: expected" in line for line in faults_of(run_copy))


def test_a_file_of_documents_that_lost_rows_shows_when_files_are_opened(run_copy: Path) -> None:
    file = run_copy / "documents" / "three-js.en" / "train" / "00000.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(1), file)
    assert faults_of(run_copy) == []
    assert any("documents/three-js.en/train documents: expected" in line for line in faults_of(run_copy, deep=True))


def test_an_index_that_leads_out_of_the_run_is_refused(run_copy: Path, rewrite: Callable[..., None]) -> None:
    rewrite(
        run_copy / "shards" / "three-js.en" / "train" / "index.json", lambda told: told["files"][0].update(name="../../../x.bin")
    )
    assert any("must lie in the same folder" in line for line in faults_of(run_copy, deep=True))


def test_shards_that_are_gone_are_not_counted(run_copy: Path) -> None:
    (run_copy / "shards" / "three-js.en" / "train" / "index.json").unlink()
    findings = check_counts(Evidence(run_copy))
    assert findings.faults == [] and any("cannot be counted" in note for note in findings.notes)
