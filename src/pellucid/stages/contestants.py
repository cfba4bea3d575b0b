"""What `pellucid throughput` is pointed at → the programs that run side by side, and why others cannot."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pellucid.core.errors import ArtifactError, PellucidError, UsageError
from pellucid.core.files import read_json
from pellucid.export.openvino import GRAPH
from pellucid.recipe.hf_shape import CONFIG
from pellucid.recipe.like import describe_weights, is_gguf_file
from pellucid.stages.contestant_programs import Contestant, Program
from pellucid.stages.formats import planned_exports
from pellucid.stages.run_folder import RECIPE_FILE, final_checkpoint, open_recipe
from pellucid.stages.subjects import vocabulary_beside
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["HOW", "context_of", "find_contestants", "tokenizer_of"]

HOW: dict[Program, str] = {
    "Pellucid": "the torch engine as pellucid serve runs it, without HTTP; on a CPU in float32, with weights laid out by columns",
    "transformers": "its own method generate, greedily, in the number type of the folder, on the device of our engine",
    "llama.cpp": "its own library (llama_decode), without a server; keys and values in float16, flash attention as it chooses",
    "llama.cpp, served": "its own server, as pellucid serve runs it; what HTTP on this machine costs is counted in",
    "OpenVINO": "its CPU plug-in by its own settings, which round more than the certificate's; all logits of a prompt are computed",
    "MLX": "mlx-lm's model with its cache, on the device that MLX chooses; MLX has no setting for threads",
}
_PROGRAMS: dict[str, Program] = {
    "hf": "transformers",
    "gguf": "llama.cpp",
    "mlx": "MLX",
    "openvino": "OpenVINO",
    "torchao": "transformers",
    "bitsandbytes": "transformers",
}
# What a table of a run is expected to have, with the format that a recipe would name for it.
_EXPECTED: dict[Program, str] = {"transformers": "hf", "llama.cpp": "gguf", "OpenVINO": "openvino", "MLX": "mlx"}


def find_contestants(path: Path, target: str | None = None, *, served: bool = False) -> list[Contestant]:
    """Return who runs what lies at a path, a run with all of its exports, an export, or a published model's folder or file.

    `target` is what the path is called (default: its last part), `served` adds llama.cpp behind its server. Their names differ.
    Raises `UsageError` when it is nothing of that.
    """
    name = target or path.resolve().name
    if (path / RECIPE_FILE).is_file():
        found = _of_run(path, name)
    elif _one(path) != path:
        found = _of_files(name, sorted(path.glob("*.gguf")))
    else:
        found = _of_export(path, name)
    if served:
        found += [replace(one, program="llama.cpp, served") for one in found if _runs_gguf(one)]
    return found


def tokenizer_of(path: Path) -> Tokenizer:
    """Return the vocabulary of what `find_contestants` was given. Raises `UsageError` where there is none."""
    return load_tokenizer(path / "tokenizer") if (path / RECIPE_FILE).is_file() else vocabulary_beside(_one(path)).tokenizer


def context_of(path: Path) -> int:
    """Return for how many tokens the model was trained. Raises `ArtifactError` where its files do not say."""
    if (path / RECIPE_FILE).is_file():
        return open_recipe(path).model.context_tokens
    one = _one(path)
    if is_gguf_file(one):
        return describe_weights(one).context_tokens
    # Programs of others run models and number types that our decoder does not know: this field is all that is asked.
    config = read_json(one / CONFIG)
    tokens = config.get("max_position_embeddings") if isinstance(config, dict) else None
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ArtifactError(f"{one / CONFIG}: max_position_embeddings {tokens!r}: must be a count of tokens")
    return tokens


def _one(path: Path) -> Path:
    """Of a folder of GGUF files, the first; anything else is what it is."""
    files = sorted(path.glob("*.gguf")) if path.is_dir() and not (path / CONFIG).is_file() else []
    return files[0] if files else path


def _runs_gguf(one: Contestant) -> bool:
    return one.program == "llama.cpp" and one.path is not None


def _of_run(run: Path, name: str) -> list[Contestant]:
    recipe = open_recipe(run)
    # What the exports were made from, and not an average that lies beside it. Its files hold more than weights.
    found = [Contestant(name, "Pellucid", "checkpoint", final_checkpoint(run, recipe.train[-1]))]
    record = run / "exports" / "export.json"
    written = read_json(record)["formats"] if record.is_file() else {}
    for planned in planned_exports(recipe.export):
        if planned.name not in written or planned.format == "peft":
            continue
        kind = planned.type if planned.format in ("hf", "gguf", "mlx", "openvino") else f"{planned.format} {planned.type}"
        found.append(_sized(name, _PROGRAMS[planned.format], kind, run / "exports" / planned.place))
    there = {one.program for one in found}
    return found + [
        Contestant(name, program, "", None, f"the run has no such export: add {format_} to export.formats")
        for program, format_ in _EXPECTED.items()
        if program not in there
    ]


def _of_export(path: Path, name: str) -> list[Contestant]:
    if path.is_dir() and (path / GRAPH).is_file():
        return [_sized(name, "OpenVINO", name, path)]
    try:
        if is_gguf_file(path):
            return [_gguf(name, path)]
        config = read_json(path / CONFIG)
    except PellucidError as error:
        raise UsageError(f"{path} is neither a run, nor an export, nor a Hugging Face folder, nor a GGUF file") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{path / CONFIG} holds no settings")
    if _is_mlx(path):
        return [_sized(name, "MLX", name, path)]
    if "quantization_config" in config:
        return [_sized(name, "transformers", name, path)]
    return [_sized(name, "Pellucid", name, path), _sized(name, "transformers", name, path)]


def _of_files(target: str, files: Sequence[Path]) -> list[Contestant]:
    found = [_gguf(target, file) for file in files]
    # model-F16.gguf and F16.gguf may lie side by side.
    short = len({one.weights for one in found}) == len(found)
    return found if short else [replace(one, weights=file.stem) for one, file in zip(found, files, strict=True)]


def _gguf(target: str, file: Path) -> Contestant:
    return _sized(target, "llama.cpp", file.stem.removeprefix("model-"), file)


def _sized(target: str, program: Program, weights: str, path: Path) -> Contestant:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Contestant(target, program, weights, path, bytes=sum(file.stat().st_size for file in files))


def _is_mlx(folder: Path) -> bool:
    """Tell whether a folder's weights say that they are MLX's: the header of its first safetensors file."""
    for file in sorted(folder.glob("*.safetensors"))[:1]:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            return b'"format":"mlx"' in opened.read(min(length, 2**20)).replace(b" ", b"")
    return False
