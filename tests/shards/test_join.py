import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import DataError
from pellucid.core.files import read_json, write_json
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for
from pellucid.shards.join import is_joined, join_parts
from pellucid.shards.stream import TokenStream
from pellucid.shards.writer import write_part

CONFIG = ShardsConfig(shard_tokens=1024, max_special_frac=1.0)
PARTS = st.lists(st.lists(st.text("aé", max_size=500), max_size=5), max_size=4)


@settings(max_examples=40)
@given(parts=PARTS, order=st.randoms(use_true_random=False))
def test_parts_written_in_any_order_join_to_the_documents_in_order(
    byte_coding: Coding, make_texts: Any, parts: list[list[str]], order: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "web" / "train"
        names = [f"{number:05d}" for number in range(len(parts))]
        for name, texts in order.sample(list(zip(names, parts, strict=True)), len(parts)):
            write_part(make_texts(texts), byte_coding, CONFIG, out, name)
        assert not is_joined(out)
        index = join_parts(out, names, byte_coding, CONFIG)
        assert is_joined(out) and not (out / "parts").exists()
        texts = [text for part in parts for text in part]
        stream = TokenStream(out)
        assert stream.read(0, stream.tokens).tolist() == [token for text in texts for token in (*text.encode(), 256)]
        ends = np.cumsum([len(text.encode()) + 1 for text in texts]).tolist()
        assert stream.document_starts.tolist() == [0, *ends]
        assert [row["text_bytes"] for row in stream.metadata(range(len(texts)))] == [len(text.encode()) for text in texts]
        assert (index.documents, index.special_counts["<|endoftext|>"]) == (len(texts), len(texts))
        assert join_parts(out, names, byte_coding, CONFIG) == index


def test_a_wrong_count_of_fill_in_the_middle_tokens_is_refused_and_leaves_no_index(
    byte_coding: Coding, make_texts: Any, tmp_path: Path
) -> None:
    special = {"<|endoftext|>": 256, "<fim_prefix>": 257, "<fim_middle>": 258, "<fim_suffix>": 259}
    cutter = cutter_for(FimConfig(rate=1.0), 1, "web", special)
    coding = replace(byte_coding, vocab_tokens=260, special_ids=special, cutter=cutter)
    out = tmp_path / "web" / "train"
    account = write_part(make_texts(["abc", "defg"]), coding, CONFIG, out, "00000")
    assert sum(account.fim_documents.values()) == 2 and account.special_counts["<fim_middle>"] == 2
    file = out / "parts" / "00000.json"
    raw = read_json(file)
    write_json(file, raw | {"special_counts": raw["special_counts"] | {"<fim_middle>": 3}})
    with pytest.raises(DataError, match=r"web/train: <fim_middle>: 3 for 2 documents rearranged .* must be equal"):
        join_parts(out, ["00000"], coding, CONFIG)
    assert not is_joined(out)
