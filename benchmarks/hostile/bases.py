"""Good models of every kind, tiny: what hostile ones are made of, and what shows that a refusal is not for everything."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import orjson
import yaml

from pellucid.adapters.lora import add_adapters
from pellucid.adapters.peft_format import save_peft
from pellucid.checkpoint.files import save_checkpoint
from pellucid.core.artifacts import Key, building, read_manifest
from pellucid.core.errors import MissingExtraError
from pellucid.core.files import json_bytes, sha256_file, write_json
from pellucid.core.ledger import Ledger
from pellucid.export.beside import ChatExport
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.mlx import write_mlx
from pellucid.export.openvino import write_openvino
from pellucid.export.probes import probe_texts
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.load import load_recipe
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.resolved import RECIPE_FILE, resolved_text
from pellucid.recipe.tuning import AdapterConfig
from pellucid.tokenizer.chat import load_chat_format
from pellucid.tokenizer.training import train_bpe

__all__ = ["CASES", "PARTS", "Bases", "Case", "Place", "case", "edit_json", "edit_recipe", "reseal"]

SHAPE: dict[str, Any] = {
    "vocab_tokens": 608, "context_tokens": 256, "layers": 2, "hidden": 64, "heads": 4, "kv_heads": 2, "mlp_hidden": 96,
    "norm": "rmsnorm", "norm_bias": False, "rotary_frac": 1.0, "qkv_bias": False, "tied_head": False, "init_std": 0.1,
}  # fmt: skip
Kind = Literal["hf", "gguf", "mlx", "openvino", "peft", "run", "recipe"]
SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Place:
    """Where a case is planted: `model` is the file or folder that is opened; `outside` is beside it, and nobody's to write to."""

    model: Path
    outside: Path

    @property
    def canary(self) -> Path:
        return self.outside / "canary"


@dataclass(frozen=True)
class Case:
    """One kind of hostile file. `plant(place, hostile)` changes a copy of a good model; its harmless twin touches the same spot.

    `refused` is False where what is hostile lies beside what is read, and is simply not opened. `named` must be in the error.
    """

    name: str
    base: Kind
    openers: tuple[str, ...]
    plant: Callable[[Place, bool], None]
    refused: bool
    named: str
    not_refused: tuple[str, ...] = field(default=())


CASES: dict[str, Case] = {}

TORCH = ("evaluate", "serve", "chat", "init_from")
PARTS: dict[str, tuple[str, ...]] = {
    "weights": ("evaluate", "serve", "init_from", "read back", "transformers", "torchao"),
    "config": ("evaluate", "model: like", "init_from", "transformers"),
    "vocabulary": ("serve", "tokenizer", "model: like"),
    "template": ("serve", "tokenizer", "transformers"),
    "gguf": ("evaluate", "serve", "model: like", "init_from", "llama.cpp"),
    "run": ("evaluate", "chat", "serve", "verify"),
}


def case(
    name: str,
    base: Kind,
    openers: str | tuple[str, ...],
    named: str = "",
    *,
    refused: bool = True,
    not_refused: tuple[str, ...] = (),
) -> Callable[[Callable[[Place, bool], None]], Callable[[Place, bool], None]]:
    """Register what plants a case."""

    def register(plant: Callable[[Place, bool], None]) -> Callable[[Place, bool], None]:
        assert name not in CASES, name
        wanted = PARTS[openers] if isinstance(openers, str) else openers
        CASES[name] = Case(name, base, wanted, plant, refused, named, not_refused)
        return plant

    return register


def edit_json(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the values of a JSON file."""
    values = json.loads(file.read_bytes())
    change(values)
    file.write_text(json.dumps(values))


def edit_recipe(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the values of a run's recipe."""
    values = yaml.safe_load((run / RECIPE_FILE).read_text())
    change(values)
    (run / RECIPE_FILE).write_text(json.dumps(values))


def reseal(artifact: Path) -> None:
    """Write an artifact's manifest anew for what its files are now, as whoever changed them would do."""
    raw = orjson.loads((artifact / "manifest.json").read_bytes())
    own = artifact / "manifest.json"
    files = [file for file in sorted(artifact.rglob("*")) if file.is_file() and file != own]
    raw["outputs"] = {
        str(file.relative_to(artifact)): {"sha256": sha256_file(file), "bytes": file.stat().st_size} for file in files
    }
    resign(own, raw)


def resign(file: Path, raw: dict[str, Any]) -> None:
    """Write a manifest with the digest of its own values."""
    raw["sha256"] = sha256(json_bytes({name: value for name, value in raw.items() if name != "sha256"})).hexdigest()
    write_json(file, raw)


class Bases:
    """The good models, made once under `folder`; `copy` gives one that may be changed. `missing` are packages that are not there."""  # noqa: E501

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.missing: dict[str, str] = {}
        self._config = ModelConfig(**SHAPE)
        self._tokenizer = train_bpe(probe_texts() * 2, 600)
        self._model = Decoder(self._config)
        init_weights(self._model, 5)
        format_ = load_chat_format("zephyr", self._tokenizer, base=folder)
        self._chat = ChatExport(format_.exported, format_.stop_ids)
        self._makers: dict[str, Callable[[Path], None]] = {
            "hf": self._hf, "gguf": self._gguf, "mlx": self._mlx, "openvino": self._openvino, "peft": self._peft,
            "run": self._run, "recipe": self._recipe,
        }  # fmt: skip

    def copy(self, kind: Kind, root: Path) -> Place:
        """Return a place with a copy of a good model of this kind. Raises `MissingExtraError` where it cannot be made here."""
        good = self.folder / kind
        if not good.exists():
            good.mkdir(parents=True)
            try:
                self._makers[kind](good)
            except MissingExtraError:
                shutil.rmtree(good)
                raise
        shutil.copytree(good, root, symlinks=True)
        (root / "outside").mkdir()
        inside = {"gguf": "model.gguf", "recipe": "recipe.yaml"}.get(kind, "model")
        return Place(root / "place" / inside, root / "outside")

    def _hf(self, folder: Path) -> None:
        path = folder / "place" / "model"
        path.mkdir(parents=True)
        write_hf(self._model.state_dict(), self._config, self._tokenizer, path, chat=self._chat)

    def _gguf(self, folder: Path) -> None:
        path = folder / "place" / "model.gguf"
        path.parent.mkdir(parents=True)
        write_gguf(self._model.state_dict(), self._config, self._tokenizer, path, dtype="F32", name="tiny", chat=self._chat)

    def _mlx(self, folder: Path) -> None:
        path = folder / "place" / "model"
        path.mkdir(parents=True)
        write_mlx(self._model.state_dict(), self._config, self._tokenizer, path, type="fp16", chat=self._chat)

    def _openvino(self, folder: Path) -> None:
        path = folder / "place" / "model"
        path.mkdir(parents=True)
        write_openvino(self._model.state_dict(), self._config, self._tokenizer, path, type="fp16", chat=self._chat)

    def _peft(self, folder: Path) -> None:
        base, path = folder / "place" / "base", folder / "place" / "model"
        base.mkdir(parents=True)
        write_hf(self._model.state_dict(), self._config, self._tokenizer, base)
        adapter = AdapterConfig(rank=2, alpha=4.0)
        adapted = Decoder(self._config)
        adapted.load_state_dict(self._model.state_dict())
        add_adapters(adapted, adapter, 1)
        save_peft(adapted.state_dict(), self._config, adapter, path, base=str(base))

    def _recipe(self, folder: Path) -> None:
        path = folder / "place" / "recipe.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"name: tiny\nextends: {SOURCE / 'recipes' / 'pocket-smoke.yaml'}\n")

    def _run(self, folder: Path) -> None:
        """A run with what opening its model needs: recipe, vocabulary, one checkpoint of a stage, an export with a certificate."""
        run = folder / "place" / "model"
        run.mkdir(parents=True)
        recipe = load_recipe(SOURCE / "recipes" / "pocket-smoke.yaml").recipe.model_dump(mode="json")
        recipe["train"] = recipe["train"][:1]
        recipe["model"] = self._config.model_dump(mode="json")
        (run / RECIPE_FILE).write_text(resolved_text(recipe))
        with building(run / "tokenizer", Key("tokenizer", 1, 0, {})) as build:
            self._tokenizer.save(build.path)
        with building(run / "pretrain", Key("pretrain", 1, 0, {}), in_place=True) as build:
            state = {"model": {name: one.detach() for name, one in self._model.state_dict().items()}}
            meta = {"model": self._config.model_dump(), "step": 30, "seed": 0}
            save_checkpoint(build.path / "checkpoints", 30, state, meta=meta)
            build.summary.update(checkpoint="checkpoints/step-00000030", steps=30)
        with building(run / "exports", Key("export", 1, 0, {})) as build:
            (build.path / "hf").mkdir()
            write_hf(self._model.state_dict(), self._config, self._tokenizer, build.path / "hf")
            files = {one.name: {"bytes": one.stat().st_size, "sha256": sha256_file(one)} for one in (build.path / "hf").iterdir()}
            entry = {"place": "hf", "certificate": {"passed": True, "files": files}}
            write_json(build.path / "export.json", {"formats": {"hf": entry}, "checkpoint_step": 30})
        for stage, made in (("tokenizer", "tokenizer"), ("pretrain", "pretrain"), ("export", "exports")):
            Ledger(run).append("end", stage=stage, summary=read_manifest(run / made).summary)
