"""Items of suites looked up in what a run was trained on: its shards, and its conversations where it learnt from some."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pellucid.conversations.store import Examples
from pellucid.core.artifacts import MANIFEST, fingerprint
from pellucid.evals.contamination import TrainingText, lookup, open_training_text, texts_of
from pellucid.evals.results import Record, Records
from pellucid.stages.suites import LookUp
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["open_look_up"]


def open_look_up(run: Path, *, needed: bool) -> tuple[LookUp, str] | None:
    """Return what looks items up in a run's training text, and a digest of that; None where there is none and none is needed.

    Raises `ArtifactError` where it is needed and is not there.
    """
    conversations = run / "conversations"
    talked = fingerprint(conversations) if (conversations / MANIFEST).is_file() else ""
    if (run / "shards" / MANIFEST).is_file() or (needed and not talked):
        training = open_training_text(run)
    elif talked:
        # A run that learns from conversations alone has no shards.
        training = TrainingText(run, run / "shards", run / "tokenizer", "", ())
    else:
        return None

    def look_up(records: Records) -> tuple[Callable[[Record], bool | None], Mapping[str, Any]]:
        others = {path.name: _talks(path / "train", training.tokenizer) for path in _sources(conversations)} if talked else {}
        found = lookup(texts_of(records), training, others=others)
        return found.is_clean, found.as_json()

    return look_up, training.digest if not talked else sha256(f"{training.digest} {talked}".encode()).hexdigest()


def _sources(conversations: Path) -> list[Path]:
    return sorted(path.parent.parent for path in conversations.glob("*/train/examples.json"))


def _talks(folder: Path, tokenizer: Path) -> Iterator[tuple[str, str]]:
    """Yield id and text of the conversations and pairs to learn from, all turns and both answers, as the tokens say them."""
    reader, examples = load_tokenizer(tokenizer), Examples(folder)
    each = examples.sequences_per_example
    special = set(reader.special.values())
    for number, about in enumerate(examples.about()):
        for sequence in range(each * number, each * (number + 1)):
            ids = [id_ for id_ in examples.read(sequence)[0].tolist() if id_ not in special]
            yield str(about["id"]), reader.decode(ids)
