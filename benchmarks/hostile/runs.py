"""Runs of somebody else's: recipes with objects in them, manifests that name files outside, checkpoints that are pickles."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import orjson
from hostile.bases import Place, case, edit_json, edit_recipe, reseal, resign
from hostile.weights import pickled

RECIPE = "recipe.resolved.yaml"
STEP = Path("pretrain/checkpoints/step-00000030")
OPENING = ("evaluate", "chat", "serve")
_OBJECT = "!!python/object/apply:builtins.open [{canary!r}, w]"
_LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))


@case("run: a recipe with a Python object", "run", OPENING, RECIPE)
def _(place: Place, hostile: bool) -> None:
    file = place.model / RECIPE
    added = _OBJECT.format(canary=str(place.canary))
    text = file.read_text()
    file.write_text(f"description: {added}\n" if hostile else text)


@case("run: a recipe whose aliases grow tenfold eleven times", "run", OPENING, RECIPE)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / RECIPE).write_text(_LAUGHS + "name: *a11\n")


@case("run: a recipe nested 10^5 deep", "run", OPENING, RECIPE)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / RECIPE).write_text("name: " + "[" * 100_000 + "]" * 100_000)


@case("run: a recipe that is a list", "run", OPENING, RECIPE)
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / RECIPE).write_text("[1, 2]")


@case("run: a stage called ../../outside", "run", OPENING, RECIPE)
def _(place: Place, hostile: bool) -> None:
    edit_recipe(place.model, lambda values: values["train"][0].update(name="../../outside/stage" if hostile else "pretrain"))


@case("run: a chat template at a path outside", "run", OPENING, "template")
def _(place: Place, hostile: bool) -> None:
    (place.outside / "private.jinja").write_text("private")

    def change(values: dict[str, Any]) -> None:
        values["chat"]["template"] = "../../outside/private.jinja" if hostile else "zephyr"
        stage = values["train"][0]
        stage["objective"] = "sft"

    edit_recipe(place.model, change)


def resigned(file: Path, change: Any) -> None:
    raw = orjson.loads(file.read_bytes())
    change(raw)
    resign(file, raw)


@case("run: a manifest with files outside", "run", ("verify",), "outside")
def _(place: Place, hostile: bool) -> None:
    stolen = place.outside / "private.txt"
    stolen.write_text("private")
    entry = {"../../../outside/private.txt": {"sha256": "0" * 64, "bytes": 7}}
    resigned(place.model / "tokenizer" / "manifest.json", lambda raw: raw["outputs"].update(entry if hostile else {}))


@case("run: a manifest with an endless device", "run", ("verify",), "/dev/zero")
def _(place: Place, hostile: bool) -> None:
    entry = {"/dev/zero": {"sha256": "0" * 64, "bytes": 0}}
    resigned(place.model / "tokenizer" / "manifest.json", lambda raw: raw["outputs"].update(entry if hostile else {}))


@case("run: a manifest whose values are other things", "run", ("verify", *OPENING), "manifest.json")
def _(place: Place, hostile: bool) -> None:
    resigned(place.model / STEP / "manifest.json", lambda raw: raw.update(outputs=[1, 2], config="x") if hostile else None)


@case("run: a manifest nested 10^6 deep", "run", ("verify", *OPENING), "manifest.json")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / STEP / "manifest.json").write_bytes(b'{"a":' * 10**6 + b"1" + b"}" * 10**6)


@case("run: a manifest that is a pipe", "run", ("verify", *OPENING), "manifest.json", not_refused=("chat",))
def _(place: Place, hostile: bool) -> None:
    if hostile:
        (place.model / "tokenizer" / "manifest.json").unlink()
        os.mkfifo(place.model / "tokenizer" / "manifest.json")


@case("run: a file in an artifact that is a link outside", "run", ("verify",), "tokenizer")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        file = next(one for one in (place.model / "tokenizer").iterdir() if one.name.endswith("tokenizer.json"))
        file.unlink()
        file.symlink_to("/dev/zero")


@case("run: a ledger that is a link outside", "run", ("evaluate", "verify"), "ledger.jsonl")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        ledger = place.model / "ledger.jsonl"
        ledger.rename(place.outside / "somebodys.jsonl")
        ledger.symlink_to(place.outside / "somebodys.jsonl")


@case("run: a last checkpoint at ../../../outside", "run", ("evaluate stage",), "checkpoint")
def _(place: Place, hostile: bool) -> None:
    shutil.copytree(place.model / STEP, place.outside / "step-00000030")
    own = {"checkpoint": "../../../outside/step-00000030"}
    resigned(place.model / "pretrain" / "manifest.json", lambda raw: raw["summary"].update(own if hostile else {}))


def vocabulary(place: Place, hostile: bool, names: list[str]) -> None:
    """Turn the run's vocabulary into one that others made, whose facts name these files."""
    folder = place.model / "tokenizer"
    hf = place.model / "exports" / "hf"
    for file in folder.iterdir():
        file.unlink() if file.name != "manifest.json" else None
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(hf / name, folder / name)
    facts = {"kind": "huggingface", "eos": "<|endoftext|>", "files": ["tokenizer.json", "tokenizer_config.json", *names]}
    (folder / "pellucid_tokenizer.json").write_text(json.dumps(facts))
    reseal(folder)


@case("run: a vocabulary with files outside", "run", (*OPENING, "save again"), "files")
def _(place: Place, hostile: bool) -> None:
    (place.outside / "private.txt").write_text("private")
    (place.model.parent / "canary").write_text("x")
    vocabulary(place, hostile, ["../../../outside/private.txt", "../../canary"] if hostile else [])


@case("run: a vocabulary with files by their absolute paths", "run", (*OPENING, "save again"), "files")
def _(place: Place, hostile: bool) -> None:
    (place.outside / "private.txt").write_text("private")
    vocabulary(place, hostile, [str(place.outside / "private.txt")] if hostile else [])


@case("run: a checkpoint whose weights are a pickle", "run", OPENING, "model.safetensors")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        pickled(place, hostile, place.model / STEP / "model.safetensors")
        reseal(place.model / STEP)


@case("run: a checkpoint of shards, with .metadata and .distcp that are pickles", "run", OPENING, "model")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        folder = place.model / STEP / "model"
        folder.mkdir()
        (place.model / STEP / "model.safetensors").unlink()
        for name in (".metadata", "__0_0.distcp", "model.safetensors"):
            pickled(place, hostile, folder / name)
        reseal(place.model / STEP)


@case("run: a checkpoint of a model with 10^12 layers", "run", OPENING, "layers")
def _(place: Place, hostile: bool) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["config"]["model"]["layers"] = 10**12 if hostile else 2

    resigned(place.model / STEP / "manifest.json", change)


@case("run: a checkpoint of a model that says nothing about itself", "run", OPENING, "model")
def _(place: Place, hostile: bool) -> None:
    own = {"model": {"layers": "two", "evil": 1}}
    resigned(place.model / STEP / "manifest.json", lambda raw: raw["config"].update(own if hostile else {}))


@case("run: an export at ../../outside", "run", ("verify",), "export.json")
def _(place: Place, hostile: bool) -> None:
    (place.outside / "private.txt").write_text("private")
    file = place.model / "exports" / "export.json"
    edit_json(file, lambda values: values["formats"]["hf"].update(place="../../../outside" if hostile else "hf"))
    reseal(place.model / "exports")


@case("run: an export at an endless device", "run", ("verify",), "export.json")
def _(place: Place, hostile: bool) -> None:
    file = place.model / "exports" / "export.json"
    edit_json(file, lambda values: values["formats"]["hf"].update(place="/dev/zero" if hostile else "hf"))
    reseal(place.model / "exports")


@case("recipe: a Python object", "recipe", ("recipe",), "recipe.yaml")
def _(place: Place, hostile: bool) -> None:
    added = f"description: {_OBJECT.format(canary=str(place.canary))}\n" if hostile else "description: mine\n"
    place.model.write_text(place.model.read_text() + added)


@case("recipe: aliases that grow tenfold eleven times", "recipe", ("recipe",), "recipe.yaml")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        place.model.write_text(place.model.read_text() + _LAUGHS + "description: *a11\n")


@case("recipe: extends itself", "recipe", ("recipe",), "recipe.yaml")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        place.model.write_text(f"name: tiny\nextends: {place.model}\n")


@case("recipe: a run called ../../outside", "recipe", ("recipe",), "recipe.yaml")
def _(place: Place, hostile: bool) -> None:
    if hostile:
        place.model.write_text(place.model.read_text().replace("name: tiny", "name: ../../outside/run"))
