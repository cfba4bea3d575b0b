"""Examples on disk: what was written is read back, sequence by sequence, and damage is named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.conversations.store import Encoded, Examples, ExampleWriter
from pellucid.core.errors import ArtifactError

SEQUENCE = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.booleans()), min_size=1, max_size=20)


@given(st.lists(SEQUENCE, max_size=10))
def test_what_was_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, sequences: list[list[tuple[int, bool]]]) -> None:
    folder = tmp_path_factory.mktemp("examples")
    writer = ExampleWriter(folder)
    for number, pairs in enumerate(sequences):
        ids, targets = zip(*pairs, strict=True)
        writer.add([Encoded(ids, targets)], {"id": f"a/{number}"}, {"score": number / 2})
    written = writer.close()
    for examples in (written, Examples(folder)):
        assert examples.sequences == examples.examples == len(sequences)
        assert examples.tokens == sum(map(len, sequences))
        assert examples.target_tokens == sum(target for pairs in sequences for _, target in pairs)
        for number, pairs in enumerate(sequences):
            ids_T, targets_T = examples.read(number)
            assert list(zip(ids_T.tolist(), targets_T.tolist(), strict=True)) == pairs
        assert [one["id"] for one in examples.about()] == [f"a/{number}" for number in range(len(sequences))]
        assert np.array_equal(examples.values.get("score", np.empty(0)), np.arange(len(sequences)) / 2)


def test_a_pair_is_two_sequences(tmp_path: Path) -> None:
    writer = ExampleWriter(tmp_path, sequences_per_example=2)
    writer.add([Encoded([1, 2], [False, True]), Encoded([1, 3, 4], [False, True, True])], {"id": "x"})
    examples = writer.close()
    assert (examples.examples, examples.sequences) == (1, 2)
    assert examples.lengths.tolist() == [2, 3]
    with pytest.raises(AssertionError):
        writer.add([Encoded([1], [True])], {"id": "y"})


def test_a_missing_or_shortened_file_is_named(tmp_path: Path) -> None:
    writer = ExampleWriter(tmp_path)
    writer.add([Encoded([1, 2], [False, True])], {"id": "x"})
    writer.close()
    (tmp_path / "ids.npy").write_bytes((tmp_path / "ids.npy").read_bytes()[:40])
    with pytest.raises(ArtifactError, match=r"ids\.npy"):
        Examples(tmp_path)
    (tmp_path / "examples.json").unlink()
    with pytest.raises(ArtifactError, match=r"examples\.json"):
        Examples(tmp_path)
