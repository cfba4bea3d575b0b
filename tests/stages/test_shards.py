from pathlib import Path

from pellucid.core.artifacts import read_manifest
from pellucid.documents.store import iter_split
from pellucid.shards.stream import TokenStream
from pellucid.tokenizer.tokenizer import load_tokenizer


def test_shards_hold_exactly_the_documents_and_decode_to_their_text(finished_run: Path) -> None:
    tokenizer = load_tokenizer(finished_run / "tokenizer")
    total = {"train": 0, "heldout": 0}
    for folder in sorted((finished_run / "shards").glob("*/*/")):
        stream = TokenStream(folder)
        total[folder.name] += stream.tokens
        documents = list(iter_split(finished_run / "documents", folder.parent.name, folder.name))
        assert stream.documents == len(documents)
        for number in {0, len(documents) - 1} if documents else set():
            start, end = int(stream.document_starts[number]), int(stream.document_starts[number + 1])
            ids = stream.read(start, end - start).tolist()
            assert ids[-1] == tokenizer.eos_id
            assert tokenizer.decode(ids[:-1]) == documents[number].text
    summary = read_manifest(finished_run / "shards", "shards").summary
    assert summary == {"train_tokens": total["train"], "heldout_tokens": total["heldout"]}
