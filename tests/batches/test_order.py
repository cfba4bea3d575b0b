from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.batches.batch import IGNORE
from pellucid.batches.inspect import inspect_step
from pellucid.batches.mixture import BLOCK_SEQS
from pellucid.batches.order import DataOrder
from pellucid.core.errors import DataError, UsageError
from pellucid.recipe.data import ShardsConfig
from pellucid.shards.stream import TokenStream
from pellucid.shards.writer import write_shards

Make = Callable[..., Any]
EOS = 0


class Text(NamedTuple):
    id: str
    text: str
    source: str
    language: str
    licence: str
    origin: str
    digest: str


@pytest.fixture(scope="module")
def streams(make_stream: Make) -> dict[str, Any]:
    return {
        "wiki": make_stream(700, 1, 350, 20, 2000, seed=1),
        "books": make_stream(5000, seed=2),
        "code": make_stream(*[17] * 90, seed=3),
    }


WEIGHTS = {"wiki": 0.5, "books": 0.3, "code": 0.2}


def test_each_epoch_of_a_source_visits_each_of_its_windows_exactly_once(streams: dict[str, Any]) -> None:
    order = DataOrder(streams, WEIGHTS, 64, seed=5)
    source_N, epoch_N, window_N, start_N = order.locate(np.arange(3000))
    assert np.array_equal(start_N, window_N * 64)
    for source, name in enumerate(order.source_names):
        windows = (streams[name].tokens - 1) // 64
        mine = source_N == source
        passes = []
        for epoch in range(int(epoch_N[mine].max())):
            visited = window_N[mine & (epoch_N == epoch)]
            assert np.array_equal(np.sort(visited), np.arange(windows))
            passes.append(tuple(visited))
        assert len(passes) > 3
        assert len(set(passes)) == len(passes), "every epoch has its own order"


def test_a_window_is_what_the_stream_holds_and_targets_are_the_next_tokens(streams: dict[str, Any]) -> None:
    order = DataOrder(streams, WEIGHTS, 64, seed=5)
    batch = order.batch(7, 6)
    assert batch.ids_BT.shape == batch.targets_BT.shape == (6, 64)
    assert batch.ids_BT.dtype == batch.targets_BT.dtype == np.int64
    assert batch.first_sequence == 42
    assert batch.positions_BT is None
    assert batch.documents_BT is None
    for row in range(6):
        sequence = order.sequence(42 + row)
        assert sequence.ids.dtype == np.uint32
        assert sequence.source == batch.source_names[batch.source_B[row]]
        assert np.array_equal(sequence.ids, streams[sequence.source].ids[sequence.start : sequence.start + 65])
        assert np.array_equal(sequence.ids[:-1], batch.ids_BT[row])
        assert np.array_equal(sequence.ids[1:], batch.targets_BT[row])


@given(st.integers(0, 50), st.sampled_from([1, 2, 3, 4]), st.integers(1, 5), st.sampled_from(["causal", "document"]))
@settings(max_examples=12, deadline=None)
def test_any_number_of_ranks_and_micro_steps_reads_the_same_step(
    make_stream: Make, step: int, ranks: int, micro: int, attention: Any
) -> None:
    sources = {"a": make_stream(30, 40, 50), "b": make_stream(200, seed=9)}
    order = DataOrder(sources, {"a": 1, "b": 2}, 16, seed=3, attention=attention)
    batch_seqs = ranks * micro * 2
    whole = order.batch(step, batch_seqs)
    seen = {}
    for rank in range(ranks):
        mine = whole.sequence_B[rank::ranks]
        fresh = DataOrder(sources, {"a": 1, "b": 2}, 16, seed=3, attention=attention)
        for at in range(0, len(mine), micro):
            part = fresh.sequences_at(mine[at : at + micro])
            for row, index in enumerate(part.sequence_B.tolist()):
                seen[index] = [
                    value[row]
                    for value in (part.ids_BT, part.targets_BT, part.positions_BT, part.documents_BT)
                    if value is not None
                ]
    assert sorted(seen) == whole.sequence_B.tolist()
    for row, index in enumerate(sorted(seen)):
        assert np.array_equal(seen[index][0], whole.ids_BT[row])
        assert np.array_equal(seen[index][1], whole.targets_BT[row])
        if attention == "document":
            assert whole.positions_BT is not None
            assert whole.documents_BT is not None
            assert np.array_equal(seen[index][2], whole.positions_BT[row])
            assert np.array_equal(seen[index][3], whole.documents_BT[row])


def test_adding_a_source_or_changing_weights_leaves_the_others_own_order_alone(streams: dict[str, Any]) -> None:
    def windows_of(order: DataOrder, name: str) -> list[tuple[int, int]]:
        source_N, epoch_N, window_N, _ = order.locate(np.arange(2000))
        mine = source_N == order.source_names.index(name)
        return list(zip(epoch_N[mine].tolist(), window_N[mine].tolist(), strict=True))[:300]

    alone = DataOrder({"wiki": streams["wiki"]}, {"wiki": 1}, 64, seed=5)
    mixed = DataOrder(streams, WEIGHTS, 64, seed=5)
    assert windows_of(alone, "wiki") == windows_of(mixed, "wiki")
    assert windows_of(alone, "wiki") != windows_of(DataOrder({"wiki": streams["wiki"]}, {"wiki": 1}, 64, seed=6), "wiki")
    twins = DataOrder({"a": streams["wiki"], "b": streams["wiki"]}, {"a": 1, "b": 1}, 64, seed=5)
    assert windows_of(twins, "a") != windows_of(twins, "b")


def test_the_order_sources_are_listed_in_plays_no_part(streams: dict[str, Any]) -> None:
    backwards = dict(reversed(WEIGHTS.items()))
    first = DataOrder(streams, WEIGHTS, 64, seed=5).batch(3, 8)
    second = DataOrder(dict(reversed(streams.items())), backwards, 64, seed=5).batch(3, 8)
    assert np.array_equal(first.ids_BT, second.ids_BT)
    assert first.source_names == second.source_names == ("books", "code", "wiki")


def test_documents_are_told_apart_and_no_end_mark_foretells_the_next_document(streams: dict[str, Any]) -> None:
    order = DataOrder(streams, WEIGHTS, 64, seed=5, attention="document")
    causal = DataOrder(streams, WEIGHTS, 64, seed=5)
    masked = 0
    for step in range(20):
        batch, plain = order.batch(step, 8), causal.batch(step, 8)
        assert batch.positions_BT is not None
        assert batch.documents_BT is not None
        ends_BT = batch.ids_BT == EOS
        assert np.array_equal(batch.targets_BT == IGNORE, ends_BT)
        assert np.array_equal(batch.targets_BT[~ends_BT], plain.targets_BT[~ends_BT])
        assert np.all(batch.positions_BT[:, 0] == 0)
        assert np.all(batch.positions_BT[:, 1:][ends_BT[:, :-1]] == 0)
        assert np.array_equal(batch.documents_BT[:, 1:], np.cumsum(ends_BT, axis=1)[:, :-1])
        masked += int(ends_BT.sum())
    assert masked > 100


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 200), st.floats(0.01, 1)), min_size=1),
    st.integers(1, 20),
    st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_what_is_consumed_is_known_without_counting_and_adds_up(
    make_stream: Make, sources: dict[str, tuple[int, float]], seq_tokens: int, total: int
) -> None:
    sources_made = {name: make_stream(extra + seq_tokens + 1) for name, (extra, _) in sources.items()}
    order = DataOrder(sources_made, {name: weight for name, (_, weight) in sources.items()}, seq_tokens, seed=1)
    source_N, epoch_N, window_N, _ = order.locate(np.arange(total))
    account = order.consumed(total)
    assert sum(use["sequences"] for use in account.values()) == total
    assert sum(use["planned_share"] for use in account.values()) == pytest.approx(1)
    for source, name in enumerate(order.source_names):
        use, mine = account[name], source_N == source
        assert use["sequences"] == mine.sum()
        assert use["tokens"] == use["sequences"] * seq_tokens
        assert int(use["epochs"]) == (epoch_N[mine].max(initial=0) if mine.sum() % use["windows_per_epoch"] else use["epochs"])
        assert use["seen_tokens"] == len(np.unique(window_N[mine])) * seq_tokens
        assert use["available_tokens"] == use["seen_tokens"] + use["unseen_tokens"] + use["tail_tokens"] + 1
        assert 0 <= use["tail_tokens"] < seq_tokens
        assert abs(use["sequences"] - use["planned_share"] * total) < 1 + 1e-9


def test_over_many_blocks_realised_shares_stay_within_one_sequence_per_block(streams: dict[str, Any]) -> None:
    account = DataOrder(streams, {"wiki": 0.123, "books": 0.456, "code": 0.421}, 64, seed=5).consumed(10 * BLOCK_SEQS)
    for use in account.values():
        assert abs(use["realised_share"] - use["planned_share"]) < 1 / BLOCK_SEQS


def test_targets_masked_in_one_epoch_are_known_without_counting(streams: dict[str, Any]) -> None:
    for name in streams:
        order = DataOrder(streams, {name: 1}, 64, seed=5, attention="document")
        use = order.consumed(0)[name]
        epoch = order.sequences(0, use["windows_per_epoch"])
        assert (epoch.targets_BT == IGNORE).sum() == use["masked_tokens_per_epoch"]
        assert epoch.target_tokens == epoch.targets_BT.size - use["masked_tokens_per_epoch"]
        assert DataOrder(streams, {name: 1}, 64, seed=5).consumed(0)[name]["masked_tokens_per_epoch"] == 0


def test_a_source_with_weight_but_too_few_tokens_is_named_with_what_it_has_and_needs(make_stream: Make) -> None:
    sources = {"empty": make_stream(), "short": make_stream(64), "enough": make_stream(65)}
    with pytest.raises(DataError) as caught:
        DataOrder(sources, {"empty": 1, "short": 2, "enough": 1}, 64, seed=0)
    message = str(caught.value)
    assert "source 'empty': has weight 1 and 0 tokens; one window needs seq_tokens + 1 = 65" in message
    assert "source 'short': has weight 2 and 64 tokens" in message
    assert "set its weight to 0" in message
    assert "enough" not in message
    assert DataOrder(sources, {"empty": 0, "enough": 1}, 64, seed=0).source_names == ("enough",)


def test_unknown_and_unservable_weights_are_refused_before_anything_is_read(streams: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="did you mean 'wiki'"):
        DataOrder(streams, {"wikki": 1}, 64, seed=0)
    with pytest.raises(DataError, match="no source has a weight above 0"):
        DataOrder(streams, {"wiki": 0}, 64, seed=0)
    with pytest.raises(DataError, match="smallest share that can be kept"):
        DataOrder(streams, {"wiki": 1, "code": 1e-6}, 64, seed=0)


def test_shards_of_two_tokenizers_cannot_be_confined_to_documents(make_stream: Make) -> None:
    sources = {"a": make_stream(100), "b": make_stream(100)}
    sources["b"].ids[-1] = 7
    with pytest.raises(DataError, match=r"different tokens \(a: 0, b: 7\).*same tokenizer"):
        DataOrder(sources, {"a": 1, "b": 1}, 64, seed=0, attention="document")


def test_sequences_before_the_first_are_refused(streams: dict[str, Any]) -> None:
    order = DataOrder(streams, WEIGHTS, 64, seed=0)
    with pytest.raises(UsageError, match="sequence -1 does not exist"):
        order.sequence(-1)
    with pytest.raises(UsageError, match="must be 0 or above"):
        order.consumed(-1)


def test_no_sequences_is_an_empty_batch(streams: dict[str, Any]) -> None:
    for attention in ("causal", "document"):
        assert DataOrder(streams, WEIGHTS, 64, seed=0, attention=attention).sequences(5, 0).ids_BT.shape == (0, 64)


def test_the_order_is_the_same_on_every_machine_and_version(streams: dict[str, Any]) -> None:
    source_N, epoch_N, window_N, _ = DataOrder(streams, WEIGHTS, 64, seed=5).locate(np.array([0, 1, 2, 1000, 10**9, 2**40]))
    assert source_N.tolist() == [2, 0, 2, 2, 2, 2]
    assert epoch_N.tolist() == [0, 0, 0, 10, 10638297, 11696932210]
    assert window_N.tolist() == [16, 59, 5, 44, 30, 42]


def test_shards_on_disk_are_served_across_their_files_and_inspected_with_their_documents(tmp_path: Path) -> None:
    streams = {name: TokenStream(write_source(tmp_path / name, name)) for name in ("latin", "greek")}
    assert len(streams["latin"].index.files) > 2
    order = DataOrder(streams, {"latin": 2, "greek": 1}, 100, seed=8, attention="document")
    use = order.consumed(3 * 60)["latin"]
    seen = np.zeros(streams["latin"].tokens, dtype=np.int64)
    plain = np.concatenate([np.fromfile(file, dtype="<u2") for file in sorted((tmp_path / "latin").glob("*.bin"))])
    for step in range(60):
        batch = order.batch(step, 3)
        assert np.array_equal(batch.targets_BT == IGNORE, batch.ids_BT == EOS)
        for row in np.flatnonzero(batch.source_B == order.source_names.index("latin")):
            sequence = order.sequence(step * 3 + int(row))
            assert np.array_equal(sequence.ids, plain[sequence.start : sequence.start + 101])
            assert np.array_equal(sequence.ids[:-1], batch.ids_BT[row])
            seen[sequence.start + 1 : sequence.start + 101] += 1
    assert (seen > 0).sum() == use["seen_tokens"]
    assert seen.sum() == use["tokens"]
    page = inspect_step(order, 3, 4)
    for sequence in page["sequences"]:
        assert {document["licence"] for document in sequence["documents"]} == {f"licence of {sequence['source']}"}
        assert sum(document["tokens"] for document in sequence["documents"]) == 101


def write_source(folder: Path, name: str) -> Path:
    # Each text is its own length in tokens, counted upwards, so that every window tells where it is from.
    documents = [
        Text(f"{name}{n}", "x" * (30 + 7 * n % 211), name, "en", f"licence of {name}", "made up", f"digest{n}") for n in range(100)
    ]

    def encode_batch(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        return (np.arange(offsets[-1], dtype=np.uint32) % 60_000) + 1, offsets

    config = ShardsConfig(shard_tokens=3000)
    write_shards(documents, encode_batch, EOS, 65_536, {"<|endoftext|>": EOS}, config, folder)
    return folder
