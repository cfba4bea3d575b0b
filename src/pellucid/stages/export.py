"""Checkpoint → `exports/`: each format written, opened again in its own runtime and compared with the checkpoint."""

from typing import Any

from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.files import write_json
from pellucid.core.progress import progress
from pellucid.core.units import format_bytes
from pellucid.export.chat_parity import check_gguf_chat, check_hf_chat
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport, write_hf
from pellucid.export.parity import check_gguf, check_hf
from pellucid.stages.chat_format import chat_format_of
from pellucid.stages.run_folder import final_checkpoint
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["EXPORT"]


def _key(context: Context) -> Key:
    recipe = context.recipe
    checkpoint = fingerprint(final_checkpoint(context.run, recipe.train[-1]))
    inputs = {"checkpoint": checkpoint, "tokenizer": fingerprint(context.folder("tokenizer"))}
    settings = {**recipe.export.model_dump(mode="json"), "name": recipe.name}
    if recipe.is_chat:
        chat = chat_format_of(recipe, context.run)
        settings["chat"] = {"template": chat.exported, "stop_ids": list(chat.stop_ids)}
    return Key("exports", 2, 0, settings, inputs)


def _build(context: Context, build: Build) -> str:
    recipe, config = context.recipe, context.recipe.export
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    model, meta = load_model(final_checkpoint(context.run, recipe.train[-1]))
    model.eval()
    state = model.state_dict()
    chat = chat_format_of(recipe, context.run) if recipe.is_chat else None
    written = ChatExport(chat.exported, chat.stop_ids) if chat is not None else None
    checks: dict[str, dict[str, Any]] = {}
    with progress("exports", len(config.formats), "formats") as bar:
        for name in config.formats:
            bar.note(name)
            if name == "hf":
                write_hf(state, recipe.model, tokenizer, build.path / "hf", chat=written)
                checks[name] = check_hf(build.path / "hf", model, tokenizer)
                if chat is not None:
                    checks[name] |= check_hf_chat(build.path / "hf", chat, tokenizer)
            else:
                path = build.path / "gguf" / "model.gguf"
                write_gguf(state, recipe.model, tokenizer, path, dtype=config.gguf_type, name=recipe.name, chat=written)
                checks[name] = check_gguf(path, model, tokenizer, dtype=config.gguf_type)
                if chat is not None:
                    checks[name] |= check_gguf_chat(path, chat, tokenizer, recipe.model.context_tokens)
            files = [file for file in (build.path / name).rglob("*") if file.is_file()]
            checks[name]["bytes"] = sum(file.stat().st_size for file in files)
            bar.advance()
    write_json(build.path / "export.json", {"formats": checks, "checkpoint_step": meta["step"]})
    build.summary.update(checks)
    return ", ".join(
        f"{name} {format_bytes(check['bytes'])} (logits within {check['largest_logit_difference']:.1g})"
        for name, check in checks.items()
    )


EXPORT = Stage("export", "exports", _key, _build)
