import shutil
from pathlib import Path

import pytest

from pellucid.conversations.store import Examples
from pellucid.core.errors import ArtifactError
from pellucid.documents.store import iter_split
from pellucid.evals.results import Record, Records
from pellucid.stages.contamination import _talks, open_look_up
from pellucid.stages.run_folder import open_recipe
from pellucid.tokenizer.tokenizer import load_tokenizer


def test_items_out_of_the_training_text_are_found_and_others_are_not(finished_run: Path, tmp_path: Path) -> None:
    source = open_recipe(finished_run).sources[0].name
    document = next(one for one in iter_split(finished_run / "documents", source, "train") if len(one.text.split()) > 60)
    seen = " ".join(document.text.split()[20:50])
    unseen = "Purple umbrellas negotiate quietly with seventeen reluctant marmots about the price of borrowed thunder on weekdays"
    opened = open_look_up(finished_run, needed=True)
    assert opened is not None
    with Records(tmp_path / "items.jsonl") as records:
        records.add(Record("t", "seen", {"acc": 1}, text=seen.upper()))
        records.add(Record("t", "unseen", {"acc": 1}, text=unseen))
        records.add(Record("t", "silent", {"acc": 1}))
        is_clean, about = opened[0](records)
    verdicts = {record.item: is_clean(record) for record in records}
    assert verdicts == {"seen": False, "unseen": True, "silent": None}
    assert about["items"]["t"]["seen"]["sources"] == {source: about["items"]["t"]["seen"]["documents"]}


def test_a_folder_without_shards_is_only_an_error_when_it_was_asked_for(tmp_path: Path) -> None:
    assert open_look_up(tmp_path, needed=False) is None
    with pytest.raises(ArtifactError, match="shards"):
        open_look_up(tmp_path, needed=True)


def test_items_out_of_the_conversations_are_found_too(finished_run: Path, tmp_path: Path) -> None:
    source, said = longest_answer(finished_run)
    opened = open_look_up(finished_run, needed=True)
    assert opened is not None
    with Records(tmp_path / "items.jsonl") as records:
        records.add(Record("t", "said", {"acc": 1}, text=said))
        _, about = opened[0](records)
    assert source in about["items"]["t"]["said"]["sources"] and source in about["training"]["other_texts"]


def longest_answer(run: Path) -> tuple[str, str]:
    """A source of conversations, and 20 words in a row of one of its examples, as its tokens say them."""
    tokenizer = load_tokenizer(run / "tokenizer")
    for path in sorted((run / "conversations").glob("*/train/examples.json")):
        examples = Examples(path.parent)
        for sequence in range(examples.sequences):
            ids, targets = examples.read(sequence)
            words = tokenizer.decode(ids[targets].tolist()).split()
            if len(words) > 25 and not any("<|" in word for word in words):
                return path.parent.parent.name, " ".join(words[3:23])
    raise AssertionError("no long answer")


def test_a_run_without_shards_is_looked_up_in_its_conversations(run_copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(run_copy / "shards")
    opened = open_look_up(run_copy, needed=True)
    assert opened is not None
    source = sorted((run_copy / "conversations").glob("*/train"))[0]
    _, said = max(_talks(source, run_copy / "tokenizer"), key=lambda one: len(one[1].split()))
    assert len(said.split()) >= 13
    with Records(tmp_path / "items.jsonl") as records:
        records.add(Record("t", "said", {"acc": 1}, text=said))
        is_clean, about = opened[0](records)
        assert [is_clean(record) for record in records] == [False]
    assert source.parent.name in about["items"]["t"]["said"]["sources"]
