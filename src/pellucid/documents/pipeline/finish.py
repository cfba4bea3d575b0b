"""Third pass, one partition: what was decided about all documents is carried out, and what stays is split and written."""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pellucid.core.files import fsync_file, write_json
from pellucid.core.seeds import heldout
from pellucid.core.units import utf8_bytes
from pellucid.documents.document import Dropped
from pellucid.documents.funnel import SourceFunnel
from pellucid.documents.pipeline.clean import CleanedFiles
from pellucid.documents.pipeline.decide import REASONS, Decisions
from pellucid.documents.pipeline.dropped import DroppedWriter
from pellucid.documents.pipeline.partition import Partition
from pellucid.documents.store import CLEANED_SCHEMA, DocumentWriter, iter_documents
from pellucid.recipe.documents import DocumentsConfig

__all__ = ["FinishTask", "finish_partition"]


@dataclass(frozen=True)
class FinishTask:
    """One cleaned partition whose documents are to be written where they stay."""

    partition: Partition
    config: DocumentsConfig
    work: Path
    out: Path

    @property
    def account(self) -> Path:
        """Where the counts lie; it is there when everything else is."""
        return self.work / "finished" / f"{self.partition.name}.json"

    def __str__(self) -> str:
        return str(self.partition)


def finish_partition(task: FinishTask) -> None:
    """Write SOURCE/{train,heldout}/INDEX.parquet, corrupt/INDEX.jsonl, and dropped/ where it is kept; at last the account.

    Files without contents are not written.
    """
    cleaned = CleanedFiles(task.work / "cleaned" / task.partition.name)
    decisions = Decisions.load(task.work, task.partition)
    folder = task.out / task.partition.source.name
    file = f"{task.partition.index:05d}.parquet"
    account = SourceFunnel()
    with ExitStack() as stack:
        writers = {split: stack.enter_context(DocumentWriter(folder / split / file)) for split in ("train", "heldout")}
        dropped = stack.enter_context(DroppedWriter(folder / "dropped" / file if task.config.keep_dropped else None))
        dropped.copy(cleaned.dropped)
        documents = iter_documents(cleaned.documents, CLEANED_SCHEMA.names) if len(decisions.reason_N) else ()
        for row, document in enumerate(documents):
            size = utf8_bytes(document.text)
            reason = REASONS[decisions.reason_N[row]]
            if reason:
                instead = decisions.instead_N16[row]
                detail = f"kept instead: the text whose sha256 begins {instead.tobytes().hex()}" if instead.any() else ""
                fate = Dropped(reason, size, document.where, detail)
                account.drop(reason, size)
                dropped.write_document(document, fate)
                continue
            split = "heldout" if heldout(document.digest, task.config.heldout_frac) else "train"
            id_ = f"{document.id}@{document.where}" if decisions.renamed_N[row] else document.id
            writers[split].write(replace(document, id=id_))
            account.keep(document.language, size, split)
    if cleaned.corrupt.exists():
        _copy(cleaned.corrupt, folder / "corrupt" / f"{task.partition.index:05d}.jsonl")
    write_json(task.account, account.as_json())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    fsync_file(target)
