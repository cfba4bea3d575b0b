from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.release.sources import ReleasedSource, sources_of
from pellucid.stages.run_folder import open_recipe


def test_licences_are_those_of_the_records_and_not_of_the_recipe(documents_run: Path) -> None:
    recipe = open_recipe(documents_run).model_copy(update={"conversations": ()})
    found = {source.name: source for source in sources_of(documents_run, recipe)}
    assert found["web"].licences.keys() == {"MIT", "CC-BY-SA-4.0", "GPL-2.0-only OR MIT"}
    assert found["gone"].licences == {} and found["gone"].why_kept_back == ""


def test_conversations_are_counted_by_their_records_as_well(finished_run: Path) -> None:
    talk = {source.name: source for source in sources_of(finished_run, open_recipe(finished_run)) if source.kind == "conversations"}
    assert sum(talk["instructions"].licences.values()) == 60
    assert "LicenseRef-public-domain" in talk["instructions"].licences
    assert talk["preferences"].folders == ("conversations/preferences",)


def test_a_source_that_may_not_be_passed_on_says_which_records_are_why() -> None:
    source = ReleasedSource("x", ("documents/x",), {"MIT": 7, "": 2, "CC-BY-ND-4.0": 1, "CC-BY-NC-4.0": 1}, ())
    assert source.why_kept_back.endswith("no licence stated (2 records), CC-BY-ND-4.0 (1 records)")
    assert source.licences_that("closed") == ["", "CC-BY-ND-4.0", "CC-BY-NC-4.0"]
    assert source.licences_that("non_commercial") == ["CC-BY-NC-4.0"]
    leave = ReleasedSource("x", ("documents/x",), {"CC-BY-ND-4.0": 1}, ("CC-BY-ND-4.0",))
    assert leave.why_kept_back == ""


def test_a_damaged_record_of_a_conversation_is_named(run_copy: Path) -> None:
    about = run_copy / "conversations" / "chatterbot" / "train" / "about.jsonl"
    about.write_text("no json\n")
    with pytest.raises(ArtifactError, match=r"about.jsonl, line 1 is no record"):
        sources_of(run_copy, open_recipe(run_copy))


def test_examples_that_a_stage_wrote_are_a_source_of_their_own(finished_run: Path) -> None:
    (written,) = (source for source in sources_of(finished_run, open_recipe(finished_run)) if source.kind == "written")
    assert (written.name, written.folders) == ("self_knowledge", ("self_knowledge/data",))
    assert written.card == "data-cards/written-self_knowledge.md" and not written.is_text
    assert written.licences == {} and written.why_kept_back == "", "what the run made is under the release's own licence"
