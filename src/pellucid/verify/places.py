"""Which files opening a run's data would read: named before they are opened, so that none leads out of the run or into a link."""

from collections.abc import Iterator

from pellucid.core.errors import ArtifactError
from pellucid.core.files import is_inside
from pellucid.recipe.training import TrainStageConfig
from pellucid.verify.evidence import Evidence

__all__ = ["lacking", "shard_files"]


def lacking(evidence: Evidence, stage: TrainStageConfig) -> str | None:
    """Return the first file that is not there of those that a stage's order is opened from; None when all are."""
    wanted = _shards(evidence) if stage.learns_from_text else _examples(evidence, stage)
    return next((name for name in wanted if not evidence.has(name)), None)


def shard_files(evidence: Evidence, folder: str) -> Iterator[str]:
    """Yield the files of one split of one source, its index first; raise `ArtifactError` where the index names files elsewhere."""
    index = f"{folder}/index.json"
    yield index
    if evidence.has(index):
        for one in evidence.tree.json(index)["files"]:
            yield f"{folder}/{_checked(evidence, index, one['name'])}"
        yield from (f"{folder}/{name}" for name in ("document_starts.npy", "documents.parquet"))


def _shards(evidence: Evidence) -> Iterator[str]:
    yield "shards/manifest.json"
    for source in evidence.recipe.sources if evidence.recipe is not None else ():
        yield from shard_files(evidence, f"shards/{source.name}/train")


def _examples(evidence: Evidence, stage: TrainStageConfig) -> Iterator[str]:
    assert evidence.recipe is not None
    if stage.objective == "self_knowledge":
        yield f"{stage.name}/manifest.json"
        folders = [f"{stage.name}/data/train"]
    else:
        yield "conversations/manifest.json"
        folders = [f"conversations/{source.name}/train" for source in evidence.recipe.conversations_of(stage)]
    there = [folder for folder in folders if evidence.has(f"{folder}/examples.json")]
    for folder in there or folders[:1]:
        facts = f"{folder}/examples.json"
        yield facts
        for name in ("starts", "ids", "targets", *(evidence.tree.json(facts)["values"] if there else ())):
            yield f"{folder}/{_checked(evidence, facts, f'{name}.npy')}"


def _checked(evidence: Evidence, file: str, name: str) -> str:
    if not is_inside(name):
        raise ArtifactError(f"{evidence.run / file} names the file {name!r}; it must lie in the same folder")
    return name
