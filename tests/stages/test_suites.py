import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.errors import ArtifactError
from pellucid.evals.results import Record, Records, read_records
from pellucid.evals.subject import Pair, Setting, Subject
from pellucid.evals.suites import RunSuite, Suite
from pellucid.recipe.section import Section
from pellucid.recipe.suites import SuitesConfig
from pellucid.stages.subjects import find_target, open_model
from pellucid.stages.suites import Work, run_suite

TEXTS = ["Everyone has the right to", "Die Würde des Menschen ist", "Toda persona tiene", "Nul ne sera", "to education"]


@dataclass(frozen=True)
class Likely(Suite):
    """A suite of five items: is one ending likelier than another. It can be told to fail before one of them."""

    fails_at: int | None = None

    @property
    def run(self) -> RunSuite:
        def score(subject: Subject, config: Section, setting: Setting, records: Records) -> Mapping[str, Any]:
            for number, text in enumerate(TEXTS[: setting.limit]):
                if number == self.fails_at:
                    raise ArtifactError("the model's logits are no numbers")
                if not records.has("likely", str(number)):
                    first, second = subject.loglikelihoods([Pair(text, " work"), Pair(text, " qxz")])
                    nats = [first.nats, second.nats]
                    records.add(Record("likely", str(number), {"acc": nats[0] < nats[1]}, details={"nats": nats, "text": text}))
            return {"texts": len(TEXTS)}

        return score


SUITE = Likely("likely", "", "", "choices")


@pytest.fixture(scope="module")
def subject(finished_run: Path) -> Subject:
    return open_model(find_target(finished_run / "pretrain"))


@pytest.fixture
def work(subject: Subject, tmp_path: Path) -> Work:
    return Work(subject, tmp_path / "evals", SuitesConfig(), Setting(seed=3))


def result_of(work: Work) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((work.out / "likely" / "result.json").read_text())
    return found


def test_a_result_says_what_was_scored_by_what_and_how_sure_it_is(work: Work) -> None:
    folder = run_suite(SUITE, work)
    result = result_of(work)
    assert result["complete"] and result["stopped_by"] is None
    assert result["tasks"]["likely"]["items"] == 5
    assert result["facts"] == {"texts": 5}
    assert result["subject"]["label"].endswith("pretrain-step-00000030")
    assert result["subject"]["digest"] and result["versions"]["pellucid"]
    assert result["usage"]["subject"]["requests"] == 10 and result["usage"]["judge"] is None
    assert result["setting"] == {"limit": None, "seed": 3, "data": None}
    assert not find_faults(folder)
    assert read_manifest(folder).kind == "suite"
    assert len(list(read_records(folder / "items.jsonl"))) == 5


def test_what_has_not_changed_is_not_scored_again_and_another_limit_sets_the_old_aside(work: Work) -> None:
    run_suite(SUITE, work)
    before = (work.out / "likely" / "result.json").read_bytes()
    run_suite(SUITE, work)
    assert (work.out / "likely" / "result.json").read_bytes() == before
    run_suite(SUITE, replace(work, setting=Setting(seed=3, limit=2)))
    assert result_of(work)["tasks"]["likely"]["items"] == 2
    assert (work.out / "likely.superseded-1" / "result.json").read_bytes() == before


def test_a_suite_that_fails_keeps_what_it_has_and_goes_on_there(work: Work) -> None:
    with pytest.raises(ArtifactError, match="3 items are scored and kept"):
        run_suite(replace(SUITE, fails_at=3), work)
    broken = result_of(work)
    assert not broken["complete"] and broken["stopped_by"] == "the model's logits are no numbers"
    assert broken["tasks"]["likely"]["items"] == 3
    kept = (work.out / "likely" / "items.jsonl").read_bytes()
    run_suite(SUITE, work)
    whole = result_of(work)
    assert whole["complete"] and whole["tasks"]["likely"]["items"] == 5
    assert (work.out / "likely" / "items.jsonl").read_bytes().startswith(kept)
    # What the first call has used counts as well.
    assert whole["usage"]["subject"]["requests"] == 10
    assert whole["seconds"] >= broken["seconds"]


def test_scores_of_clean_items_stand_beside_all(work: Work) -> None:
    looked = replace(
        work, look_up=lambda records: (lambda record: record.item != "0", {"looked_up": len(records)}), look_up_key="x"
    )
    run_suite(SUITE, looked)
    result = result_of(work)
    assert result["contamination"] == {"looked_up": 5}
    assert result["tasks"]["likely"]["clean"]["items"] == 4


def test_data_that_are_not_there_are_named(work: Work, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no-such"):
        run_suite(SUITE, replace(work, setting=Setting(data=str(tmp_path / "no-such"))))
