"""What is in shards comes back as the texts that were encoded, also where they were cut and rearranged."""

from hashlib import sha256
from pathlib import Path

import pytest

from pellucid.documents.decontamination.index import build_index
from pellucid.documents.decontamination.items import Item
from pellucid.documents.document import Document
from pellucid.evals.shard_texts import TextSlice, decode_documents, search
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.recipe.documents import DecontaminateConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for
from pellucid.shards.join import join_parts
from pellucid.shards.stream import TokenStream
from pellucid.shards.writer import write_part
from pellucid.tokenizer.training import train_bpe

TEXTS = ["def add(a, b):\n    return a + b\n" * 9, "Grüße aus Köln, çà et là, 漢字とかな 👩‍🚀", "x", "one two three " * 40]


@pytest.mark.parametrize("spm_frac", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_texts_come_back_as_they_were(tmp_path: Path, rate: float, spm_frac: float) -> None:
    tokenizer = train_bpe(TEXTS, 300)
    cutter = cutter_for(FimConfig(rate=rate, spm_frac=spm_frac), 3, "code", tokenizer.special)
    coding = Coding(tokenizer.encode_batch, tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, cutter)
    config = ShardsConfig(shard_tokens=1024, max_special_frac=1.0)
    documents = [Document(str(n), text, "code", "en", "", "", sha256(text.encode()).hexdigest()) for n, text in enumerate(TEXTS)]
    write_part(documents, coding, config, tmp_path, "00000")
    join_parts(tmp_path, ["00000"], coding, config)
    stream = TokenStream(tmp_path)
    assert decode_documents(stream, tokenizer, 0, 4) == TEXTS
    assert decode_documents(stream, tokenizer, 1, 3) == TEXTS[1:3]


def test_a_run_of_words_is_handed_over_with_its_place_and_its_numbers(tmp_path: Path) -> None:
    question = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    build_index([Item("x", 0, (question,))], DecontaminateConfig(benchmarks=("x",))).save(tmp_path / "index")
    hits = search(TextSlice("talk", tmp_path / "index", (("a", "zero"), ("b", f"zero {question.title()}, fifteen"))))
    assert [(hit.item, hit.source, hit.document, hit.text) for hit in hits] == [(0, "talk", "b", question.title())]
    assert len(hits[0].keys_R) == 14
