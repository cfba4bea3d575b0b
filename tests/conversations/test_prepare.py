import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pellucid.conversations import prepare
from pellucid.conversations.encode import Encode
from pellucid.conversations.prepare import FUNNEL, Preparation, prepare_conversations
from pellucid.conversations.store import Encoded, Examples
from pellucid.conversations.turns import Messages
from pellucid.core.errors import DataError
from pellucid.core.processes import end_workers
from pellucid.recipe.conversations import ConversationConfig

WriteSource = Callable[..., ConversationConfig]
SHARED = Path(__file__).parents[3] / "shared" / "data"


def byte_encode(messages: Messages, last_only: bool) -> Encoded:
    """A byte is an id; answers are targets."""
    if messages[0]["role"] == "system":
        raise DataError("no system prompts here")
    parts = [(one["content"].encode(), one["role"] == "assistant") for one in messages]
    last = len(parts) - 1
    ids = [byte for data, _ in parts for byte in data]
    return Encoded(ids, [said and (number == last or not last_only) for number, (data, said) in enumerate(parts) for _ in data])


def open_encode() -> Encode:
    return byte_encode


HOW = Preparation(open_encode, lambda source, holds_pairs: 64, max_bytes=1 << 20, workers=1)


def texts(folder: Path) -> list[str]:
    found = Examples(folder)
    return [bytes(found.read(number)[0].astype(np.uint8)).decode() for number in range(found.sequences)]


def digest(folder: Path) -> str:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(str(file.relative_to(folder)).encode() + file.read_bytes() for file in files)).hexdigest()


def test_the_first_of_equal_conversations_over_all_sources_stays(tmp_path: Path, write_source: WriteSource) -> None:
    one = write_source("one", [{"prompt": "Q", "response": "A"}, {"prompt": "Q", "response": "A"}], heldout_frac=0)
    two = write_source("two", [{"query": "Q", "response": "A"}, {"query": "Q", "response": "B"}], heldout_frac=0)
    three = write_source("three", [{"prompt": "Q", "chosen": "A", "rejected": no} for no in ("B", "C")], heldout_frac=0)
    funnel = prepare_conversations([one, two, three], tmp_path, tmp_path / "out", HOW)
    assert [texts(tmp_path / "out" / name / "train") for name in ("one", "two", "three")] == [["QA"], ["QB"], ["QA", "QB"]]
    assert [dict(one.drops.counts) for one in funnel.sources.values()] == [
        {"duplicate conversation": 1},
        {"duplicate conversation": 1},
        {"duplicate pair": 1},
    ]
    assert Examples(tmp_path / "out" / "three" / "train").sequences_per_example == 2
    assert json.loads((tmp_path / "out" / FUNNEL).read_text()) == funnel.as_json()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["funnel.json", "one", "three", "two"]


def test_a_part_is_chosen_by_digest_whatever_the_order_of_records(tmp_path: Path, write_source: WriteSource) -> None:
    records = [{"prompt": f"Q{n}", "response": "A"} for n in range(50)]
    chosen = []
    for name, order in (("one", records), ("two", records[::-1])):
        source = write_source(name, order, max_examples=9, heldout_frac=0.3)
        funnel = prepare_conversations([source], tmp_path, tmp_path / name, HOW)
        assert funnel.sources[name].drops.counts == {"more than max_examples": 41}
        chosen.append([sorted(texts(tmp_path / name / name / split)) for split in ("train", "heldout")])
    assert chosen[0] == chosen[1]
    assert sum(map(len, chosen[0])) == 9


def test_what_a_killed_call_left_is_thrown_away(tmp_path: Path, write_source: WriteSource) -> None:
    source = write_source("one", [{"prompt": "Q", "response": "A"}], heldout_frac=0)
    prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
    before = digest(tmp_path / "out")
    (tmp_path / "out" / ".work.part").mkdir()
    (tmp_path / "out" / ".work.part" / "000000-00000.jsonl").write_text("{cut")
    prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
    assert digest(tmp_path / "out") == before


def test_a_source_that_is_not_what_the_recipe_says_is_refused(tmp_path: Path, write_source: WriteSource) -> None:
    def refused(source: ConversationConfig, match: str) -> None:
        with pytest.raises(DataError, match=match):
            prepare_conversations([source], tmp_path, tmp_path / "out", HOW)
        assert not (tmp_path / "out" / FUNNEL).exists()

    half = [{"prompt": "Q", "response": "A"}, {"prompt": "Q"}, "{", {"prompt": "Q", "response": 7}]
    refused(
        write_source("odd", half),
        r"source 'odd': 3 of 4 records cannot be used, more than half \(invalid json: 1, not of its shape: 2\)"
        r"\. The first is odd.jsonl@\d+, which has no 'output'.*Records were read as shape alpaca: name another shape",
    )
    none = [{"prompt": "Q", "response": " "}]
    refused(write_source("odd", none), r"none of its 1 records is left to train on \(empty answer: 1\)")
    one = [{"prompt": "Q", "response": "A"}]
    refused(write_source("odd", one, heldout_frac=0.9999999), r"left to train on \(all are held out\)")
    system = [{"prompt": "Q", "response": "A", "system": "S"}, {"prompt": "Q", "response": "B", "system": "S"}, one[0]]
    refused(
        write_source("odd", system, heldout_frac=0),
        r"source 'odd': the chat template refuses 2 of 3 conversations. The first is odd.jsonl@0, which cannot .*no system prompts",
    )


def test_bytes_do_not_depend_on_who_does_the_work(
    tmp_path: Path, write_source: WriteSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = write_source("talks", [{"prompt": f"Q{n}", "response": f"A{n % 1500}"} for n in range(3000)])
    prepare_conversations([talks], tmp_path, tmp_path / "alone", HOW)
    for name in ("_PARALLEL_FROM_BYTES", "_PARALLEL_ENCODING_FROM_BYTES"):
        monkeypatch.setattr(prepare, name, 1)
    monkeypatch.setattr(prepare, "_PIECE_BYTES", 40_000)
    try:
        prepare_conversations([talks], tmp_path, tmp_path / "shared", replace(HOW, workers=2))
    finally:
        end_workers()
    assert digest(tmp_path / "alone") == digest(tmp_path / "shared")


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data")
def test_real_pairs_are_accounted_for_to_the_last_one(tmp_path: Path) -> None:
    source = ConversationConfig(name="hh", path=str(SHARED / "preferences" / "hh-rlhf_harmless-base_test.jsonl.gz"))
    funnel = prepare_conversations([source], tmp_path, tmp_path / "out", replace(HOW, limit_tokens=lambda source, pairs: 4096))
    account = funnel.sources["hh"]
    assert account.read == 2312
    assert account.is_whole
    assert account.shape == "pairs"
    train = Examples(tmp_path / "out" / "hh" / "train")
    assert train.examples == account.splits["train"].examples > 2000
    assert np.isnan(train.values["chosen_score"]).all()
    for number in range(0, train.sequences, 2):
        (chosen, learnt), (rejected, also) = train.read(number), train.read(number + 1)
        assert learnt[-1]
        assert also[-1]
        assert not learnt[0]
        assert (chosen[~learnt] == rejected[~also]).all(), "both sides were asked the same"
