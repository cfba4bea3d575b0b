"""What `pellucid evaluate` is pointed at → a `Subject`: a run, a checkpoint, a published model's folder or file, an endpoint."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from pellucid.checkpoint.models import load_model
from pellucid.checkpoint.weights import import_weights, is_checkpoint, weights_digest
from pellucid.core.artifacts import fingerprint
from pellucid.core.errors import DataError, PellucidError, UsageError
from pellucid.evals.likelihood.score import Budget
from pellucid.evals.local import LocalModel
from pellucid.model.decoder import Decoder
from pellucid.recipe.like import is_gguf_file
from pellucid.recipe.vocabulary import TOKENIZER_FILES, vocabulary_file
from pellucid.stages.chat_format import answers_at, chat_format_of
from pellucid.stages.run_folder import RECIPE_FILE, newest_checkpoint, open_recipe, weights_at
from pellucid.tokenizer.chat import ChatFormat, load_chat_format
from pellucid.tokenizer.from_gguf import read_gguf_vocabulary
from pellucid.tokenizer.from_huggingface import HuggingFaceTokenizer
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer
from pellucid.tokenizer.imported import ImportedFiles, read_imported
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer
from pellucid.train.device import DeviceKind, pick_device

__all__ = ["Beside", "Target", "find_target", "is_url", "open_model", "vocabulary_beside"]

_KINDS = "a recipe, a run, a checkpoint, a Hugging Face folder, a GGUF file or the URL of an endpoint"


def is_url(target: str) -> bool:
    """Tell whether a target is an endpoint."""
    return target.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Target:
    """A model on disk: where its weights lie, and the run that they belong to, if they do. `label` names it in tables."""

    weights: Path
    run: Path | None
    label: str

    def results(self, digest: str) -> Path:
        """Return where results go unless told otherwise; outside of a run the weights' digest tells models of one name apart."""
        return self.run / "evals" / self.label if self.run is not None else Path("evals") / f"{self.label}-{digest[:8]}"


def find_target(path: Path) -> Target:
    """Return what lies at a path: the newest checkpoint of a run, the last one of a stage, a checkpoint, or another's weights.

    Raises `UsageError` when it is nothing of that or several GGUF files, `ArtifactError` for a run without a checkpoint.
    """
    if (path / RECIPE_FILE).is_file():
        return _in_run(newest_checkpoint(path, open_recipe(path)), path)
    run = next((parent for parent in path.resolve().parents if (parent / RECIPE_FILE).is_file()), None)
    if run is not None and path.is_dir() and (is_checkpoint(weights_at(path)) or (path / "checkpoints").is_dir()):
        return _in_run(weights_at(path).resolve(), run)
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(path.glob("*.gguf"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise UsageError(f"{path} holds {len(files)} GGUF files ({names}); give one of them, for example {files[0]}")
        if files:
            path = files[0]
    try:
        is_gguf_file(path)
    except PellucidError as error:
        raise UsageError(
            f"{path} {f'is nothing that can be evaluated ({error})' if path.exists() else 'does not exist'}; give {_KINDS}"
        ) from error
    # An export lies in its run as exports/KIND or exports/gguf/model-TYPE.gguf; others' weights are known by their own name.
    name = path.stem if path.is_file() else path.resolve().name
    kind = f"{path.resolve().parent.name}{name.removeprefix('model')}" if path.is_file() else name
    return Target(path, run, f"export-{kind}" if run is not None else name)


def _in_run(checkpoint: Path, run: Path) -> Target:
    """Name a checkpoint by its place: RUN/STAGE/checkpoints/step-N, or RUN/averages/STAGE/NAME."""
    parts = [part for part in checkpoint.resolve().relative_to(run.resolve()).parts if part != "checkpoints"]
    return Target(checkpoint, run, "-".join(parts))


def open_model(target: Target, kind: DeviceKind = "auto") -> LocalModel:
    """Load the model of a target on the device that there is, with its vocabulary and the chat format that it has learnt."""
    device = pick_device("auto", kind)
    found = _of_run(target) if is_checkpoint(target.weights) else _of_others(target.weights)
    model, tokenizer = found.model, found.tokenizer
    if tokenizer.vocab_tokens > model.config.vocab_tokens:
        raise UsageError(
            f"{target.weights}: the vocabulary beside it has {tokenizer.vocab_tokens} tokens, the model "
            f"{model.config.vocab_tokens}: they do not belong together"
        )
    model.to(device.device).eval()
    run = target.run.resolve().name if target.run is not None else None
    inside = target.run is not None and is_checkpoint(target.weights)
    return LocalModel(
        model,
        tokenizer,
        found.chat,
        tokenizer.special[tokenizer.bos] if found.begins_texts is not None else None,
        bool(found.begins_texts),
        label=f"{run} {target.label}" if run else target.label,
        identity={
            "kind": found.kind,
            "path": str(target.weights.relative_to(target.run)) if inside and target.run is not None else target.weights.name,
            "run": run,
            "step": load_step(target.weights) if inside else None,
            "digest": weights_digest(target.weights),
            "vocabulary": found.vocabulary,
            "chat_template": sha256(found.chat.template.encode()).hexdigest() if found.chat is not None else None,
            "begins_texts": bool(found.begins_texts),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "vocab_tokens": tokenizer.vocab_tokens,
            "context_tokens": model.config.context_tokens,
            "device": str(device.device),
            "precision": device.precision,
        },
        budget=_budget(device.device),
        autocast=device.autocast,
    )


class _Opened(NamedTuple):
    """A model with what belongs to it. `begins_texts` is None for a model of ours, whose texts begin after the end of another."""

    kind: str
    model: Decoder
    tokenizer: Tokenizer
    vocabulary: str
    chat: ChatFormat | None
    begins_texts: bool | None = None


def load_step(checkpoint: Path) -> int | None:
    """Return the step that a checkpoint folder is named by; None where its name says something else."""
    name = checkpoint.resolve().name
    return int(name.removeprefix("step-")) if name.startswith("step-") and name[5:].isdigit() else None


def _budget(device: torch.device) -> Budget:
    """A GPU wants more at once; a CPU's caches want less."""
    return Budget(batch_tokens=32_768, row_tokens=2048) if device.type == "cuda" else Budget()


def _of_run(target: Target) -> _Opened:
    if target.run is None:
        raise UsageError(f"{target.weights} is a checkpoint outside of its run, whose vocabulary it needs: give it inside the run")
    recipe, folder = open_recipe(target.run), target.run / "tokenizer"
    model, _ = load_model(target.weights)
    chats = recipe.is_chat and answers_at(recipe, target.weights)
    chat = chat_format_of(recipe, target.run) if chats else None
    return _Opened("checkpoint", model, load_tokenizer(folder), fingerprint(folder), chat)


def _of_others(path: Path) -> _Opened:
    config, weights = import_weights(path)
    model = Decoder(config)
    model.load_state_dict(weights)
    beside = vocabulary_beside(path)
    kind = "gguf" if path.is_file() else "huggingface"
    return _Opened(kind, model, beside.tokenizer, beside.digest, beside.chat, beside.begins_texts)


class Beside(NamedTuple):
    """A vocabulary that lies with published weights; `chat` where it brings a template along."""

    tokenizer: Tokenizer
    chat: ChatFormat | None
    begins_texts: bool
    digest: str


def vocabulary_beside(path: Path) -> Beside:
    """Return the vocabulary inside a GGUF file or beside a folder's weights. Raises `UsageError` where there is none."""
    files = _vocabulary_of(path)
    try:
        tokenizer = HuggingFaceTokenizer(files) if files.kind == "huggingface" else SentencePieceTokenizer(files)
    except (DataError, UsageError) as error:
        raise type(error)(f"{path / TOKENIZER_FILES[files.kind] if path.is_dir() else path}: {error}") from error
    with TemporaryDirectory() as folder:
        # The files of a vocabulary bring the chat template along, if there is one.
        tokenizer.save(Path(folder))
        try:
            chat = load_chat_format("tokenizer", tokenizer, base=Path(folder), folder=Path(folder))
        except UsageError:
            chat = None
    return Beside(tokenizer, chat, bool(files.begins_texts), files.digest)


def _vocabulary_of(path: Path) -> ImportedFiles:
    """Return the vocabulary inside a GGUF file or beside a folder's weights; raise `UsageError` where there is none."""
    if is_gguf_file(path):
        return read_gguf_vocabulary(path)
    for kind in ("huggingface", "sentencepiece"):
        if vocabulary_file(kind, path) is not None:
            return read_imported(kind, path)
    raise UsageError(f"{path} holds no vocabulary: neither tokenizer.json nor tokenizer.model lies beside its weights")
