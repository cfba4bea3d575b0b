import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.checkpoint import weights
from pellucid.checkpoint.files import save_checkpoint
from pellucid.checkpoint.weights import describe_weights, import_weights, is_checkpoint, weights_digest
from pellucid.core.errors import ArtifactError, UsageError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.tokenizer import Tokenizer


def test_a_folder_and_a_gguf_file_of_one_model_give_the_same(decoder: Decoder, tokenizer: Tokenizer, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_hf(decoder.state_dict(), decoder.config, tokenizer, tmp_path / "hf")
    write_gguf(decoder.state_dict(), decoder.config, tokenizer, tmp_path / "m.gguf", dtype="F32", name="t")
    first, second = import_weights(tmp_path / "hf"), import_weights(tmp_path / "m.gguf")
    assert first[0] == second[0]
    assert first[1].keys() == second[1].keys()
    assert all(torch.equal(tensor, second[1][name]) for name, tensor in first[1].items())
    assert describe_weights(tmp_path / "m.gguf") == second[0]
    assert describe_weights(tmp_path / "hf") == first[0].model_copy(update={"norm_bias": False})


def test_what_is_neither_is_refused_with_what_it_may_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing does not exist; weights can come from a Hugging Face folder"):
        import_weights(tmp_path / "nothing")
    file = tmp_path / "model.bin"
    file.write_bytes(b"GGML")
    with pytest.raises(UsageError, match=r"model\.bin is no GGUF file"):
        import_weights(file)
    with pytest.raises(ArtifactError, match=r"has no config\.json; weights can come from"):
        import_weights(tmp_path)
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    with pytest.raises(ArtifactError, match=r"has no config\.json; did you mean .*small\.gguf\?"):
        import_weights(tmp_path)


def test_a_digest_changes_with_config_index_or_weights_and_with_nothing_else(hf_folder: Path) -> None:
    known = {weights_digest(hf_folder)}
    (hf_folder / "README.md").write_text("new")
    for file in hf_folder.iterdir():
        os.utime(file, ns=(1, 1))
    assert weights_digest(hf_folder) in known
    for file in ("config.json", sorted(file.name for file in hf_folder.glob("model-*"))[-1]):
        data = (hf_folder / file).read_bytes()
        (hf_folder / file).write_bytes(data + b" ")
        assert weights_digest(hf_folder) not in known
        known.add(weights_digest(hf_folder))


def test_large_files_are_known_by_size_and_time(hf_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DIGEST_LIMIT_BYTES", 1000)
    before = weights_digest(hf_folder)
    assert weights_digest(hf_folder) == before
    os.utime(hf_folder / "config.json", ns=(1, 1))
    assert weights_digest(hf_folder) != before


def test_a_checkpoint_of_ours_is_known_by_its_manifest(ours: Callable[..., Any], tmp_path: Path) -> None:
    first, second = (save_checkpoint(tmp_path / f"{n}", 1, {"model": ours(n).state_dict()}, meta={"step": 1}) for n in (1, 2))
    assert is_checkpoint(first) and not is_checkpoint(tmp_path)
    assert weights_digest(first) == weights_digest(first) != weights_digest(second)
