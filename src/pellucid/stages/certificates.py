"""Certificates of a run's exports: each opened in its own runtime and compared with the checkpoint, when written and when asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import util
from itertools import islice
from pathlib import Path
from typing import Any

from pellucid.checkpoint.models import load_model
from pellucid.checkpoint.weights import import_weights
from pellucid.core.errors import MissingExtraError, PellucidError, UsageError
from pellucid.core.files import read_json
from pellucid.documents.store import iter_split
from pellucid.evals.choices.heldout_items import Shape, heldout_items
from pellucid.evals.choices.item import Item
from pellucid.evals.records import HeldoutDocument
from pellucid.export.certificate import Exported, certify, differences
from pellucid.export.known_readings import known_readings
from pellucid.export.probes import Probe, certificate_strings, probe_conversations, stand_in_documents
from pellucid.export.read_back import ReadBack, read_back, shape_differences
from pellucid.export.read_back_bitsandbytes import read_back_bitsandbytes
from pellucid.export.read_back_mlx import read_back_mlx
from pellucid.export.read_back_openvino import read_back_openvino
from pellucid.export.read_back_torchao import read_back_torchao
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.hf import TransformersRuntime
from pellucid.export.runtimes.kept import KeptRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime
from pellucid.export.runtimes.mlx import MlxRuntime
from pellucid.export.runtimes.openvino import OpenVinoRuntime
from pellucid.export.runtimes.runtime import Runtime
from pellucid.export.weight_errors import weight_errors
from pellucid.model.decoder import Decoder
from pellucid.recipe.after import ExportConfig
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.recipe import Recipe
from pellucid.stages.chat_format import chat_format_of
from pellucid.stages.run_folder import final_checkpoint, open_recipe
from pellucid.stages.subjects import vocabulary_beside
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Certifier", "Planned", "planned_exports", "repeat_certificates"]

# Of a source that holds out many documents: the first ones, as far as the comparison could read anyway.
_DOCUMENTS, _CHARS_PER_TOKEN = 64, 8
# llama.cpp makes room for a whole context at once; windows are shorter.
_LONGEST_CONTEXT = 2048
_SEED = 0
_READERS: Mapping[str, Callable[[Path, ModelConfig], ReadBack]] = {
    "hf": read_back,
    "gguf": read_back,
    "mlx": read_back_mlx,
    "openvino": read_back_openvino,
    "torchao": read_back_torchao,
    "bitsandbytes": read_back_bitsandbytes,
}


@dataclass(frozen=True)
class Planned:
    """One export: its name in `export.json`, its format, its number type, and its place in `exports/`."""

    name: str
    format: str
    type: str
    place: str


def planned_exports(config: ExportConfig) -> list[Planned]:
    """Return what the recipe asks for, in its order, each once: a folder for every type, or one GGUF file."""
    types: Mapping[str, tuple[str, ...]] = {
        "hf": (config.hf_type,),
        "gguf": config.gguf_types,
        "mlx": config.mlx_types,
        "openvino": config.openvino_types,
        "torchao": config.torchao_types,
        "bitsandbytes": ("int8",),
        "peft": ("float32",),
    }
    found = []
    for format_ in config.formats:
        for kind in types[format_]:
            name = format_ if format_ in ("hf", "peft") else f"{format_}-{kind}"
            found.append(Planned(name, format_, kind, f"gguf/model-{kind}.gguf" if format_ == "gguf" else name))
    return list(dict.fromkeys(found))


class Certifier:
    """A checkpoint and what it is asked, for all of its exports: its own answers are computed once.

    Read are the run's held-out documents; where there are none, texts that come with the package. Questions are made of held-out
    documents, and left out where these are too few for any.
    """

    def __init__(self, recipe: Recipe, run: Path, model: Decoder, tokenizer: Tokenizer) -> None:
        self.chat: ChatFormat | None = chat_format_of(recipe, run) if recipe.is_chat else None
        self._model, self._tokenizer = model, tokenizer
        self._reference = KeptRuntime(DecoderRuntime(model, tokenizer, self.chat))
        self._context_tokens = min(model.config.context_tokens, _LONGEST_CONTEXT)
        config = recipe.export.certificate
        documents = _heldout(recipe, run / "documents", config.window_tokens * _CHARS_PER_TOKEN)
        self._probe = Probe(
            certificate_strings(),
            [one.text for one in documents] or stand_in_documents(),
            probe_conversations(tokenizer) if self.chat is not None else (),
            _questions(documents, config.questions),
            config.tokens,
            config.window_tokens,
        )

    def certify(self, planned: Planned, path: Path) -> dict[str, Any]:
        """Open the export at `path` in its runtime and return its certificate. Raises as the runtimes do."""
        tokenizer, is_gguf = self._tokenizer, planned.format == "gguf"
        config = self._model.config
        found = _READERS[planned.format](path, config)
        known_strings, known_chats = known_readings(tokenizer, is_gguf=is_gguf)
        what = Exported(
            path,
            planned.type,
            self._context_tokens,
            config.vocab_tokens,
            frozenset(tokenizer.special.values()),
            weight_errors(self._model.state_dict(), found, planned.type),
            shape=shape_differences(config, found.config),
            known_strings=known_strings,
            known_chats=known_chats,
        )
        # A second model in float32, which the runtime need not share the memory with.
        del found
        with self._opened(planned, path) as runtime:
            return certify(runtime, self._reference, self._probe, what)

    def _opened(self, planned: Planned, path: Path) -> Runtime:
        if planned.format == "gguf":
            return LlamaCppRuntime(path, self._context_tokens)
        if planned.format == "mlx":
            return MlxRuntime(path)
        if planned.format == "openvino":
            return OpenVinoRuntime(path)
        if planned.format != "hf":
            return TransformersRuntime(path, dtype="auto")
        if util.find_spec("transformers") is not None:
            return TransformersRuntime(path)
        # The smallest installation has nothing else that opens the folder; the certificate names what did.
        config, weights = import_weights(path)
        again = Decoder(config)
        again.load_state_dict(weights)
        beside = vocabulary_beside(path)
        return DecoderRuntime(again, beside.tokenizer, beside.chat if self.chat is not None else None)


def repeat_certificates(run: Path) -> tuple[list[str], list[str]]:
    """Open every certified export of a finished run and compare it again: what was opened, and what is otherwise, a line each.

    Raises `ArtifactError` where the run has no exports, and `MissingExtraError` for a runtime that is not installed.
    """
    recipe, exports = open_recipe(run), run / "exports"
    model, _ = load_model(final_checkpoint(run, recipe.train[-1]))
    model.eval()
    certifier = Certifier(recipe, run, model, load_tokenizer(run / "tokenizer"))
    recorded = read_json(exports / "export.json")["formats"]
    opened, faults = [], []
    for planned in planned_exports(recipe.export):
        certificate = recorded.get(planned.name, {}).get("certificate")
        if certificate is None:
            continue
        path = exports / planned.place
        try:
            repeated = certifier.certify(planned, path)
        except MissingExtraError:
            raise
        except PellucidError as error:
            faults.append(f"{path}: {error}")
            continue
        opened.append(f"{path.relative_to(run)} in {repeated['runtime']} {repeated['version']}")
        faults += [f"{path}: {line}" for line in differences(certificate, repeated)]
    return opened, faults


def _heldout(recipe: Recipe, folder: Path, chars: int) -> list[HeldoutDocument]:
    """Return the beginnings of the first held-out documents of every source, in turn: a small budget still reads them all."""
    if not (folder / "manifest.json").is_file():
        return []
    columns = ("id", "source", "language", "text")
    found = [
        (number, place, HeldoutDocument(one.id, one.source, one.language, one.text[:chars]))
        for place, source in enumerate(recipe.sources)
        for number, one in enumerate(islice(iter_split(folder, source.name, "heldout", columns), _DOCUMENTS))
    ]
    return [document for _, _, document in sorted(found, key=lambda one: one[:2])]


def _questions(documents: list[HeldoutDocument], count: int) -> list[Item]:
    try:
        return heldout_items("continuation", documents, count, _SEED, Shape()).items if count and documents else []
    except UsageError:
        return []
