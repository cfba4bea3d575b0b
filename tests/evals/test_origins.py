"""What a run's documents say is found in its shards, and nothing else; the oracle is the documents' own text."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.artifacts import Key, building, find_faults
from pellucid.core.errors import DataError, RunLockedError
from pellucid.core.lock import run_lock
from pellucid.documents.document import Document, digest_text
from pellucid.evals.contamination import TrainingText, open_training_text
from pellucid.evals.origins import TrainingOrigins
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for
from pellucid.shards.join import join_parts
from pellucid.shards.ngrams import NotWantedError
from pellucid.shards.writer import write_part
from pellucid.tokenizer.training import train_bpe

TEXTS = {
    "rivers": [
        "The river is 12 km long, and it has never been crossed by a bridge of stone.",
        "Über den Fluß führt seit 1903 keine Brücke mehr 😀; man nimmt die Fähre.",
        "The river is 12 km long, and it has never been crossed by a bridge of wood, or so they say.",
    ],
    "lists": [
        "one two three four five six seven eight nine ten eleven twelve",
        "",
        "河流长十二公里，从来没有桥。河流长十二公里，从来没有桥。",
    ],
}
HELD_OUT = "Nobody has read this sentence about seventeen silent herons by the weir."


def make_run(run: Path, fim: FimConfig | None = None) -> TrainingText:
    tokenizer = train_bpe([text for texts in TEXTS.values() for text in texts], 330)
    tokenizer.save(run / "tokenizer")
    config = ShardsConfig(shard_tokens=1024, max_special_frac=1.0)
    with building(run / "shards", Key("shards", 2, 0, {})) as build:
        for source, texts in TEXTS.items():
            for split, members in (("train", texts), ("heldout", [HELD_OUT])):
                documents = [
                    Document(f"{source}/{n}", text, source, "en", "CC0-1.0", "here", digest_text(text))
                    for n, text in enumerate(members)
                ]
                cutter = cutter_for(fim, 1, source, tokenizer.special) if fim is not None else None
                coding = Coding(tokenizer.encode_batch, tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, cutter)
                write_part(documents, coding, config, build.path / source / split, "00000")
                join_parts(build.path / source / split, ["00000"], coding, config)
    return open_training_text(run)


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> TrainingOrigins:
    found = TrainingOrigins(make_run(tmp_path_factory.mktemp("runs") / "rivers-run"))
    assert not found.is_ready
    found.prepare()
    assert found.is_ready and found.share_done == pytest.approx(1)
    return found


def test_a_document_that_is_asked_about_is_found_with_what_is_known_of_it(origins: TrainingOrigins) -> None:
    text = TEXTS["lists"][0]
    told = origins.look_up(text)
    (run,) = told["runs"]
    assert (run["text"], run["begin_char"], run["end_char"], run["documents"], run["places"]) == (text, 0, len(text), 1, 1)
    assert told["covered_tokens"] == told["tokens"] == run["tokens"] and told["complete"]
    assert told["searched"]["documents"] == 6 and told["searched"]["run"] == "rivers-run"
    (document,) = run["shown"]
    assert json.loads(json.dumps(told)) == told
    assert document == {
        "source": "lists", "document": 0, "id": "lists/0", "language": "en", "licence": "CC0-1.0", "origin": "here", "place": 0,
        "before": "", "match": text, "after": "", "begins": True, "ends": True,
    }  # fmt: skip


def test_what_two_documents_share_is_counted_in_both_and_the_longer_run_is_found_in_one(origins: TrainingOrigins) -> None:
    shared = "The river is 12 km long, and it has never been crossed by a bridge of"
    (run,) = origins.look_up(f"{shared}?")["runs"]
    assert (run["documents"], run["places"]) == (2, 2) and run["text"] == shared
    assert [one["id"] for one in run["shown"]] == ["rivers/0", "rivers/2"]
    assert all(one["match"] == run["text"] and one["before"] == "" for one in run["shown"])
    assert [one["after"].split()[0].strip(".,") for one in run["shown"]] == ["stone", "wood"]
    (run,) = origins.look_up(f"{shared} wood")["runs"]
    assert (run["documents"], [one["id"] for one in run["shown"]]) == (1, ["rivers/2"])
    (run,) = origins.look_up(f"{shared}?", max_documents=1)["runs"]
    assert run["documents"] == 2 and len(run["shown"]) == 1


def test_places_in_one_document_are_several_and_the_document_is_one(origins: TrainingOrigins) -> None:
    text = "河流长十二公里，从来没有桥。"
    (run,) = origins.look_up(text)["runs"]
    assert (run["documents"], run["places"], len(run["shown"])) == (1, 2, 1) and run["text"] == text


def test_held_out_documents_are_not_among_them(origins: TrainingOrigins) -> None:
    assert origins.look_up(HELD_OUT)["runs"] == []


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_each_run_is_what_its_places_say_in_text_and_in_documents(origins: TrainingOrigins, data: st.DataObject) -> None:
    everything = [text for texts in TEXTS.values() for text in texts]
    piece = st.sampled_from(everything).flatmap(
        lambda text: st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(lambda cut: text[min(cut) : max(cut)])
    )
    text = "".join(data.draw(st.lists(piece | st.text(max_size=5), max_size=5)))
    told = origins.look_up(text, max_runs=200, max_documents=20)
    for run in told["runs"]:
        assert text[run["begin_char"] : run["end_char"]] == run["text"]
        holding = {(source, n) for source, texts in TEXTS.items() for n, one in enumerate(texts) if run["text"] in one}
        shown = [(one["source"], one["document"]) for one in run["shown"]]
        # The same words may be cut into other tokens elsewhere, so the text may stand in more documents than the tokens.
        assert len(set(shown)) == len(shown) == run["documents"] and set(shown) <= holding
        for one in run["shown"]:
            whole = TEXTS[one["source"]][one["document"]]
            assert one["before"] + one["match"] + one["after"] in whole and one["match"] == run["text"]
            assert (one["begins"] and one["ends"]) <= (one["before"] + one["match"] + one["after"] == whole)
    ids = origins.look_up(origins_ids(origins, text), max_runs=200) if text else told
    assert [(run["begin"], run["end"]) for run in ids["runs"]] == [(run["begin"], run["end"]) for run in told["runs"]]


def origins_ids(origins: TrainingOrigins, text: str) -> list[int]:
    assert origins._tokenizer is not None
    return origins._tokenizer.encode(text)


def test_the_longest_runs_are_shown_in_the_texts_order_and_all_are_counted(origins: TrainingOrigins) -> None:
    text = f"{TEXTS['lists'][0][:60]} ## {TEXTS['rivers'][1]} ## {TEXTS['rivers'][0][:60]}"
    whole = origins.look_up(text)
    assert whole["runs_in_all"] == len(whole["runs"]) >= 3
    cut = origins.look_up(text, max_runs=2)
    assert cut["runs_in_all"] == whole["runs_in_all"] and cut["covered_tokens"] == whole["covered_tokens"]
    longest = sorted((run["tokens"] for run in whole["runs"]), reverse=True)[:2]
    assert sorted((run["tokens"] for run in cut["runs"]), reverse=True) == longest
    assert cut["runs"][0]["begin"] < cut["runs"][1]["begin"]


def test_ids_without_a_token_and_texts_of_nothing_are_looked_up_in_vain(origins: TrainingOrigins) -> None:
    assert origins.look_up([2**31 - 1] * 20)["runs"] == origins.look_up("")["runs"] == origins.look_up("short")["runs"] == []
    with pytest.raises(DataError):
        origins.look_up("\ud800 lone")
    with pytest.raises(NotWantedError):
        origins.look_up(TEXTS["lists"][0], is_wanted=lambda: False)


def test_the_index_is_kept_with_the_run_and_made_anew_when_the_shards_change(tmp_path: Path) -> None:
    training = make_run(tmp_path / "run")
    TrainingOrigins(training).prepare()
    manifest = tmp_path / "run" / "ngrams" / "manifest.json"
    made = manifest.stat().st_mtime_ns
    assert find_faults(manifest.parent) == []
    TrainingOrigins(training).prepare()
    assert manifest.stat().st_mtime_ns == made, "it is there, and is not made again"
    (manifest.parent / "rivers" / "places.u4").write_bytes(b"0" * 8)
    TrainingOrigins(training).prepare()
    assert find_faults(manifest.parent) == [], "a damaged one is made again"
    shutil.rmtree(tmp_path / "run" / "shards")
    changed = make_run(tmp_path / "run", FimConfig(rate=1.0))
    again = TrainingOrigins(changed)
    again.prepare()
    assert manifest.stat().st_mtime_ns != made and changed.digest != training.digest
    assert again.look_up(TEXTS["lists"][0])["complete"]


def test_a_run_that_another_process_works_in_is_left_alone(tmp_path: Path) -> None:
    origins = TrainingOrigins(make_run(tmp_path / "run"))
    with run_lock(tmp_path / "run"), pytest.raises(RunLockedError, match="ask again later"):
        origins.prepare()
    with pytest.raises(NotWantedError):
        origins.prepare(lambda: False)
    assert not origins.is_ready
    origins.prepare()
    assert origins.is_ready
