"""Checkpoint → `exports/`: each format written, opened again in its own runtime and compared with the checkpoint."""

import shutil
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from pellucid.adapters.lora import base_state
from pellucid.adapters.peft_format import save_peft
from pellucid.checkpoint.files import read_section
from pellucid.checkpoint.hf_folder import CONFIG
from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import ArtifactError
from pellucid.core.files import write_json
from pellucid.core.progress import progress
from pellucid.core.units import format_bytes
from pellucid.export.beside import ChatExport
from pellucid.export.certificate import file_facts, require
from pellucid.export.chat_parity import check_hf_chat
from pellucid.export.hf import write_hf
from pellucid.export.parity import check_peft, check_plain_call
from pellucid.model.decoder import Decoder
from pellucid.stages.certificates import Certifier, certifier_of
from pellucid.stages.chat_format import chat_format_of
from pellucid.stages.formats import Planned, Source, planned_exports, write_export
from pellucid.stages.run_folder import final_checkpoint
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["EXPORT"]


def _key(context: Context) -> Key:
    recipe = context.recipe
    checkpoint = fingerprint(final_checkpoint(context.run, recipe.train[-1]))
    inputs = {"checkpoint": checkpoint, "tokenizer": fingerprint(context.folder("tokenizer"))}
    if recipe.sources:
        inputs["documents"] = fingerprint(context.folder("documents"))
    settings = {**recipe.export.model_dump(mode="json"), "name": recipe.name}
    if recipe.is_chat:
        chat = chat_format_of(recipe, context.run)
        settings["chat"] = {"template": chat.exported, "stop_ids": list(chat.stop_ids)}
    return Key("exports", 4, 0, settings, inputs)


def _build(context: Context, build: Build) -> str:
    recipe, run = context.recipe, context.run
    # Nothing of an attempt that was cut off is gone on with: a file that is left over would be certified as the export's.
    for left in [path for path in build.path.iterdir() if path.is_dir()]:
        shutil.rmtree(left)
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    model, meta = load_model(final_checkpoint(run, recipe.train[-1]))
    model.eval()
    certifier = certifier_of(recipe, run, model, tokenizer)
    chat = None if certifier.chat is None else ChatExport(certifier.chat.exported, certifier.chat.stop_ids)
    source = Source(model.state_dict(), recipe.model, tokenizer, recipe.name, chat, recipe.export.hf_shard_bytes)
    planned = planned_exports(recipe.export)
    entries: dict[str, dict[str, Any]] = {}
    with progress("exports", len(planned), "exports") as bar:
        for one in planned:
            bar.note(one.name)
            path = build.path / one.place
            if one.format == "peft":
                entries[one.name] = _entry(one, _peft(context, model, tokenizer, path) | {"bytes": file_facts(path)["bytes"]}, None)
            else:
                entries[one.name] = _export(one, path, source, certifier)
            bar.advance()
    write_json(build.path / "export.json", {"formats": entries, "checkpoint_step": meta["step"]})
    build.summary.update({name: _short(entry) for name, entry in entries.items()})
    return ", ".join(_line(name, short) for name, short in build.summary.items())


def _export(one: Planned, path: Path, source: Source, certifier: Certifier) -> dict[str, Any]:
    """Write one export, return its entry of `export.json`. Raises `ArtifactError`, by its name, where it is not the checkpoint."""
    facts = write_export(one, path, source)
    try:
        if one.format == "hf":
            _check_calls(path, certifier, source.tokenizer)
        certificate = certifier.certify(one, path)
        require(certificate)
    except ArtifactError as error:
        raise ArtifactError(f"export {one.name}: {error}") from error
    return _entry(one, facts | {"bytes": certificate["bytes"]}, certificate)


def _entry(one: Planned, facts: Mapping[str, Any], certificate: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"place": one.place, "facts": facts, "certificate": certificate}


def _check_calls(folder: Path, certifier: Certifier, tokenizer: Tokenizer) -> None:
    """Check what the certificate leaves to transformers alone: plain calls add nothing, finished conversations are read alike."""
    if util.find_spec("transformers") is not None:
        check_plain_call(folder, tokenizer)
    if certifier.chat is not None:
        check_hf_chat(folder, certifier.chat, tokenizer)


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What of an entry stands in the manifest and on the screen."""
    facts, certificate = entry["facts"], entry["certificate"]
    if certificate is None:
        return {"bytes": facts["bytes"], "largest_logit_difference": facts["largest_logit_difference"]}
    return {"bytes": facts["bytes"], "runtime": certificate["runtime"], "kl_mean": certificate["distributions"]["kl_nats"]["mean"]}


def _line(name: str, short: Mapping[str, Any]) -> str:
    found = f"KL {short['kl_mean']:.1g}" if "kl_mean" in short else f"logits within {short['largest_logit_difference']:.1g}"
    return f"{name} {format_bytes(short['bytes'])} ({found})"


def _peft(context: Context, model: Decoder, tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """Write the last stage's adapter, and beside it the weights below it unless the recipe names them as a Hugging Face folder."""
    stage, config = context.recipe.train[-1], context.recipe.model
    assert stage.adapter is not None, "the recipe's check sees to it"
    state, _ = read_section(final_checkpoint(context.run, stage), "model", verify=False)
    named = None if stage.init_from is None else context.loaded.base / stage.init_from
    if named is not None and (named / CONFIG).is_file() and stage.adapter.quantize == "none":
        base, below = stage.init_from, named
    else:
        base, below = "base", folder / "base"
        write_hf(base_state(state), config, tokenizer, below)
    save_peft(state, config, stage.adapter, folder, base=base)
    return check_peft(folder, below, model, tokenizer)


EXPORT = Stage("export", "exports", _key, _build)
