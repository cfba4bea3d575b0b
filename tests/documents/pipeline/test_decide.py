from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pellucid.core.processes import run_tasks
from pellucid.documents.document import digest_text
from pellucid.documents.pieces import Piece
from pellucid.documents.pipeline.clean import CleanedFiles
from pellucid.documents.pipeline.decide import REASONS, Decisions, decide
from pellucid.documents.pipeline.partition import Partition
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig

RUN = partial(run_tasks, workers=1)


def write_cleaned(work: Path, parts: list[tuple[SourceConfig, list[tuple[str, str, float]]]]) -> list[Partition]:
    """Write the numbers of partitions whose documents are (id, text, perplexity)."""
    partitions = []
    for number, (source, documents) in enumerate(parts):
        partitions.append(Partition(number, number, source, (Piece(source.name, "f", "f", 0, None, 1),)))
        files = CleanedFiles(work / "cleaned" / partitions[-1].name)
        files.folder.mkdir(parents=True)
        ids = [bytes.fromhex(digest_text(f"{source.name}\0{id_}")[:32]) for id_, _, _ in documents]
        digests = [bytes.fromhex(digest_text(text)[:32]) for _, text, _ in documents]
        np.save(files.ids, np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16))
        np.save(files.digests, np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16))
        np.save(files.sizes, np.array([len(text) for _, text, _ in documents], dtype=np.int64))
        np.save(files.scores, np.array([score for _, _, score in documents], dtype=np.float64))
    return partitions


def source(name: str, **select: object) -> SourceConfig:
    return SourceConfig.model_validate({"name": name, "path": "x", "weight": 1, "category": "Web", "select": select or None})


def reasons(work: Path, partition: Partition) -> list[str]:
    return [REASONS[code] for code in Decisions.load(work, partition).reason_N]


def test_later_copies_go_and_say_which_text_is_kept_and_repeated_ids_are_marked(tmp_path: Path) -> None:
    parts = write_cleaned(
        tmp_path,
        [
            (source("a"), [("1", "x", 1), ("2", "y", 1), ("1", "z", 1)]),
            (source("a"), []),
            (source("b"), [("1", "y", 1), ("1", "w", 1)]),
        ],
    )
    decide(parts, DocumentsConfig(), tmp_path, 0, RUN)
    assert [reasons(tmp_path, part) for part in parts] == [["", "", ""], [], ["exact duplicate", ""]]
    last = Decisions.load(tmp_path, parts[2])
    assert last.instead_N16[0].tobytes().hex() == digest_text("y")[:32] and not last.instead_N16[1].any()
    assert Decisions.load(tmp_path, parts[0]).renamed_N.tolist() == [False, False, True]
    assert last.renamed_N.tolist() == [False, True]
    decide(parts, DocumentsConfig(exact_dedup=False), tmp_path, 0, RUN)
    assert reasons(tmp_path, parts[2]) == ["", ""]


@pytest.mark.parametrize(
    ("select", "left"), [({"documents": 2}, {"low", "mid"}), ({"bytes": 7}, {"low", "mid"}), ({"bytes": 5}, {"low"})]
)
def test_the_least_perplexing_documents_stay_over_all_partitions_of_the_source(
    tmp_path: Path, select: dict[str, int], left: set[str]
) -> None:
    texts = [[("1", "high", 90.0), ("2", "low", 5.0), ("3", "none", float("nan"))], [("4", "mid", 30.0), ("5", "low", 1.0)]]
    chosen = source("a", by="perplexity", **select)
    parts = write_cleaned(tmp_path, [(chosen, texts[0]), (chosen, texts[1]), (source("b"), [("1", "other", 99.0)])])
    decide(parts, DocumentsConfig(), tmp_path, 0, RUN)
    kept = {
        text[1]
        for part, own in zip(parts, texts, strict=False)
        for text, why in zip(own, reasons(tmp_path, part), strict=True)
        if not why
    }
    assert kept == left
    assert reasons(tmp_path, parts[1])[1] == "exact duplicate"
    assert reasons(tmp_path, parts[2]) == [""]
