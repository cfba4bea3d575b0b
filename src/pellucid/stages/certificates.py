"""Certificates of a run's exports: each opened in its own runtime and compared with the checkpoint, when written and when asked."""

from itertools import islice
from pathlib import Path
from typing import Any

from pellucid.checkpoint.models import load_model
from pellucid.core.errors import MissingExtraError, PellucidError, UsageError
from pellucid.core.files import read_json
from pellucid.documents.store import iter_split
from pellucid.evals.choices.heldout_items import Shape, heldout_items
from pellucid.evals.choices.item import Item
from pellucid.evals.records import HeldoutDocument
from pellucid.export.certificate import Exported, certify, differences
from pellucid.export.known_readings import known_readings
from pellucid.export.probes import Probe, certificate_strings, probe_conversations, stand_in_documents
from pellucid.export.read_back import shape_differences
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.kept import KeptRuntime
from pellucid.export.weight_errors import weight_errors
from pellucid.model.decoder import Decoder
from pellucid.recipe.recipe import Recipe
from pellucid.stages.attempt import attempt
from pellucid.stages.chat_format import chat_format_of
from pellucid.stages.formats import Planned, open_export, planned_exports, read_export
from pellucid.stages.run_folder import final_checkpoint, open_recipe
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Certifier", "certifier_of", "repeat_certificates"]

# Of a source that holds out many documents: the first ones, as far as the comparison could read anyway.
_DOCUMENTS, _CHARS_PER_TOKEN = 64, 8
# llama.cpp makes room for a whole context at once; windows are shorter.
_LONGEST_CONTEXT = 2048
_SEED = 0


class Certifier:
    """A checkpoint and what it is asked, for all of its exports: its own answers are computed once."""

    def __init__(self, model: Decoder, tokenizer: Tokenizer, probe: Probe, chat: ChatFormat | None = None) -> None:
        self.chat = chat
        self._model, self._tokenizer, self._probe = model, tokenizer, probe
        self._reference = KeptRuntime(DecoderRuntime(model, tokenizer, chat))
        self._context_tokens = min(model.config.context_tokens, _LONGEST_CONTEXT)

    def certify(self, planned: Planned, path: Path) -> dict[str, Any]:
        """Open the export at `path` in its runtime and return its certificate. Raises as the runtimes do."""
        tokenizer, config = self._tokenizer, self._model.config
        found = read_export(planned, path, config)
        known_strings, known_chats = known_readings(tokenizer, is_gguf=planned.format == "gguf")
        what = Exported(
            path,
            planned.number_type,
            self._context_tokens,
            config.vocab_tokens,
            frozenset(tokenizer.special.values()),
            weight_errors(self._model.state_dict(), found, planned.number_type),
            shape=shape_differences(config, found.config),
            known_strings=known_strings,
            known_chats=known_chats,
        )
        # A second model in float32, which the runtime need not share the memory with.
        del found
        with open_export(planned, path, self._context_tokens, is_chat=self.chat is not None) as runtime:
            return certify(runtime, self._reference, self._probe, what)


def certifier_of(recipe: Recipe, run: Path, model: Decoder, tokenizer: Tokenizer) -> Certifier:
    """Return what certifies a run's exports as its recipe says.

    Read are the run's held-out documents; where there are none, texts that come with the package. Questions are made of held-out
    documents, and left out where these are too few for any.
    """
    chat = chat_format_of(recipe, run) if recipe.is_chat else None
    config = recipe.export.certificate
    documents = _heldout(recipe, run / "documents", config.window_tokens * _CHARS_PER_TOKEN)
    probe = Probe(
        certificate_strings(),
        [one.text for one in documents] or stand_in_documents(),
        probe_conversations(tokenizer) if chat is not None else (),
        _questions(documents, config.questions),
        config.tokens,
        config.window_tokens,
    )
    return Certifier(model, tokenizer, probe, chat)


def repeat_certificates(run: Path) -> tuple[list[str], list[str]]:
    """Open every certified export of a finished run and compare it again: what was opened, and what is otherwise, a line each.

    Raises `ArtifactError` where the run has no exports, and `MissingExtraError` for a runtime that is not installed.
    """
    with attempt(run, "verify --exports"):
        return _repeat(run)


def _repeat(run: Path) -> tuple[list[str], list[str]]:
    recipe, exports = open_recipe(run), run / "exports"
    model, _ = load_model(final_checkpoint(run, recipe.train[-1]))
    model.eval()
    certifier = certifier_of(recipe, run, model, load_tokenizer(run / "tokenizer"))
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
