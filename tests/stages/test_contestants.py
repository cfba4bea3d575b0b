import shutil
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.mlx import write_mlx
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.stages.contestants import context_of, find_contestants, tokenizer_of
from pellucid.stages.run_folder import open_recipe
from pellucid.tokenizer.tokenizer import load_tokenizer


def test_a_run_brings_its_checkpoint_and_its_exports_and_names_what_it_lacks(finished_run: Path) -> None:
    found = find_contestants(finished_run)
    names = ["Pellucid checkpoint", "transformers float32", "llama.cpp F16", "llama.cpp Q8_0", "OpenVINO", "MLX"]
    assert [one.name for one in found] == names
    assert [one.name for one in found if one.path is None] == ["OpenVINO", "MLX"]
    assert found[4].missing == "the run has no such export: add openvino to export.formats"
    assert all(one.path.exists() for one in found if one.path is not None)
    file = finished_run / "exports" / "gguf" / "model-F16.gguf"
    assert (found[2].path, found[2].bytes) == (file, file.stat().st_size)


def test_a_run_without_exports_still_brings_its_checkpoint(run_copy: Path) -> None:
    (run_copy / "exports" / "export.json").unlink()
    found = find_contestants(run_copy)
    assert [one.name for one in found if one.path is not None] == ["Pellucid checkpoint"]
    assert {one.program for one in found if one.missing} == {"transformers", "llama.cpp", "OpenVINO", "MLX"}


def test_exports_are_known_by_what_they_hold(finished_run: Path, tmp_path: Path) -> None:
    exports = finished_run / "exports"
    assert [one.name for one in find_contestants(exports / "gguf")] == ["llama.cpp F16", "llama.cpp Q8_0"]
    both = find_contestants(exports / "gguf" / "model-Q8_0.gguf", served=True)
    assert [one.name for one in both] == ["llama.cpp Q8_0", "llama.cpp, served Q8_0"] and both[0].path == both[1].path
    assert [one.program for one in find_contestants(exports / "hf")] == ["Pellucid", "transformers"]
    (tmp_path / "ov").mkdir()
    (tmp_path / "ov" / "openvino_model.xml").write_text("<net/>")
    assert [one.name for one in find_contestants(tmp_path / "ov")] == ["OpenVINO ov"]


def test_files_whose_short_names_agree_keep_their_whole_ones(finished_run: Path, tmp_path: Path) -> None:
    for name in ("model-F16.gguf", "F16.gguf"):
        shutil.copy(finished_run / "exports" / "gguf" / "model-F16.gguf", tmp_path / name)
    assert [one.name for one in find_contestants(tmp_path)] == ["llama.cpp F16", "llama.cpp model-F16"]


def test_a_target_is_called_as_it_is_told(finished_run: Path) -> None:
    found = find_contestants(finished_run / "exports" / "hf", "a/exports/hf")
    assert [(one.name, one.target) for one in found] == [
        ("Pellucid a/exports/hf", "a/exports/hf"), ("transformers a/exports/hf", "a/exports/hf"),
    ]  # fmt: skip


def test_weights_of_mlx_are_told_from_those_of_others_and_say_what_they_were_trained_for(
    finished_run: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlx.core")
    tokenizer = load_tokenizer(finished_run / "tokenizer")
    config = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens, context_tokens=64, layers=1, hidden=32, heads=2, kv_heads=1, mlp_hidden=64,
        norm="rmsnorm", norm_bias=False, rotary_frac=1.0, qkv_bias=False, tied_head=True,
    )  # fmt: skip
    model = Decoder(config)
    init_weights(model, 1)
    write_mlx(model.state_dict(), config, tokenizer, tmp_path / "small", type="int4")
    assert [one.name for one in find_contestants(tmp_path / "small")] == ["MLX small"]
    assert context_of(tmp_path / "small") == 64
    ids = list(tokenizer.encode("Die Würde des Menschen"))
    assert list(tokenizer_of(tmp_path / "small").encode("Die Würde des Menschen")) == ids


@pytest.mark.parametrize("place", ["nowhere", ".", "file"])
def test_what_is_no_model_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("no model")
    with pytest.raises(UsageError, match="neither a run, nor an export"):
        find_contestants(tmp_path / place)


def test_vocabulary_and_context_are_the_models_own_wherever_it_lies(finished_run: Path) -> None:
    text, most = "Die Würde des Menschen", open_recipe(finished_run).model.context_tokens
    ids = list(load_tokenizer(finished_run / "tokenizer").encode(text))
    for path in (finished_run, *(finished_run / "exports" / place for place in ("hf", "gguf", "gguf/model-F16.gguf"))):
        assert list(tokenizer_of(path).encode(text)) == ids
        assert context_of(path) == most


@pytest.mark.parametrize(
    ("config", "shown"),
    [("{}", "None"), ("[]", "None"), ('{"max_position_embeddings": true}', "True"), ('{"max_position_embeddings": 0}', "0")],
)
def test_a_model_that_does_not_say_its_context_is_refused(tmp_path: Path, config: str, shown: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ArtifactError, match=f"max_position_embeddings {shown}: must be a count of tokens"):
        context_of(tmp_path)
