import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.artifacts import find_faults, read_manifest
from pellucid.core.errors import ArtifactError, RunLockedError
from pellucid.core.lock import run_lock
from pellucid.evals.results import Record, Records, read_records
from pellucid.evals.subject import Pair, Setting, Subject
from pellucid.evals.suites import RunSuite, Suite
from pellucid.recipe.section import Section
from pellucid.recipe.suites import ChoicesConfig, NeedleConfig, SuitesConfig
from pellucid.stages.subjects import find_target, open_model
from pellucid.stages.suites import Work, named_files, run_suite

TEXTS = ["Everyone has the right to", "Die Würde des Menschen ist", "Toda persona tiene", "Nul ne sera", "to education"]


@dataclass(frozen=True)
class Likely(Suite):
    """A suite of five items: is one ending likelier than another. It can be told to fail before one of them."""

    fails_at: int | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: {"texts": len(TEXTS)})

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
            return self.facts

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


def test_training_text_that_is_named_later_adds_to_the_result_and_asks_nothing_again(work: Work) -> None:
    run_suite(SUITE, work)
    asked = result_of(work)["usage"]["subject"]["requests"]
    looked = replace(work, look_up=lambda records: (lambda record: True, {"looked_up": len(records)}), look_up_key="x")
    for _ in range(2):
        run_suite(SUITE, looked)
        result = result_of(work)
        assert result["contamination"] == {"looked_up": 5} and result["asked"]["training_text"] == "x"
        assert result["usage"]["subject"]["requests"] == asked
    assert not list(work.out.glob("*.superseded-*"))


def test_a_look_up_that_fails_leaves_the_scores(work: Work) -> None:
    def fails(records: Records) -> Any:
        raise ArtifactError("a shard is damaged")

    with pytest.raises(ArtifactError, match="shard"):
        run_suite(SUITE, replace(work, look_up=fails, look_up_key="x"))
    assert result_of(work)["tasks"]["likely"]["items"] == 5
    run_suite(SUITE, work)
    assert result_of(work)["contamination"] is None


def test_what_lies_in_the_data_folder_counts_but_not_the_results_in_it(work: Work, tmp_path: Path) -> None:
    setting = Setting(data=str(tmp_path))
    (tmp_path / "items.txt").write_text("one")
    run_suite(SUITE, replace(work, setting=setting))
    run_suite(SUITE, replace(work, setting=setting))
    assert not list(work.out.glob("*.superseded-*"))
    (tmp_path / "items.txt").write_text("two")
    run_suite(SUITE, replace(work, setting=setting))
    assert list(work.out.glob("*.superseded-1"))


def test_a_result_tells_names_of_files_and_not_where_they_lie(work: Work, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("1")
    settings = SuitesConfig(choices=ChoicesConfig(tasks=("piqa", str(tmp_path / "mine.jsonl"))))
    run_suite(SUITE, replace(work, settings=settings, setting=Setting(data=str(tmp_path))))
    assert result_of(work)["settings"]["tasks"] == ["piqa", "mine.jsonl"]
    assert result_of(work)["setting"]["data"] == tmp_path.name
    assert str(tmp_path) not in (work.out / "likely" / "result.json").read_text()


def test_two_calls_do_not_write_into_one_folder(work: Work) -> None:
    with run_lock(work.out), pytest.raises(RunLockedError, match="--out DIR"):
        run_suite(SUITE, work)


def test_files_are_known_by_their_bytes_wherever_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1")
    settings = SuitesConfig(
        choices=ChoicesConfig(tasks=("piqa", str(tmp_path / "a.jsonl"))), needle=NeedleConfig(haystack="x" * 4000)
    )
    before = named_files("choices", settings.choices)
    assert list(before) == ["choices.tasks.1"]
    (tmp_path / "a.jsonl").write_text("2")
    assert named_files("choices", settings.choices) != before
    assert named_files("needle", settings.needle) == {}


def test_a_heat_map_lies_beside_the_needles(work: Work) -> None:
    table = {"limits": [0, 1], "mean": [[0.5, 1.0]], "deviation": [[0.0, 0.0]]}
    facts = {"tables": {"exact": table}, "seeds": 1, "lengths": [500], "depths_percent": [0.0, 100.0]}
    folder = run_suite(replace(SUITE, name="needle", config="needle", facts=facts), work)
    assert (folder / "needle.svg").read_text().startswith("<svg")
    assert not find_faults(folder)


def test_a_result_without_all_its_tasks_is_not_taken_for_whole(work: Work) -> None:
    unfinished = replace(SUITE, facts={"unfinished": True, "skipped": [{"task": "x", "why": "no data"}]})
    run_suite(unfinished, work)
    assert not result_of(work)["complete"]
    run_suite(SUITE, work)
    assert result_of(work)["complete"] and not list(work.out.glob("*.superseded-*"))


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
