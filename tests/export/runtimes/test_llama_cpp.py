import numpy as np
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.runtimes import llama_library
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime

pytest.importorskip("xllamacpp")


def test_it_computes_what_our_decoder_does(trained, tokenizer, tmp_path):
    path = tmp_path / "model.gguf"
    write_gguf(trained.state, trained.config, tokenizer, path, dtype="F32", name="t")
    ids = tokenizer.encode("The river had frozen early that year")[:30]
    with LlamaCppRuntime(path, 64) as runtime:
        assert runtime.name == "llama.cpp"
        assert runtime.load_s > 0
        np.testing.assert_allclose(
            runtime.log_probabilities(ids), DecoderRuntime(trained.model, tokenizer).log_probabilities(ids), atol=1e-4
        )
        assert runtime.encode("123 Größe") == tokenizer.encode("123 Größe")
        assert runtime.encode_plain("123 Größe") == tokenizer.encode("123 Größe")
        assert runtime.eos_id == tokenizer.eos_id
        # llama.cpp adds special tokens that it knows by their names.
        assert {tokenizer.eos_id} <= runtime.stop_ids() <= set(tokenizer.special.values())
        assert runtime.encode_chat([{"role": "user", "content": "a"}]) is None


def test_where_the_library_cannot_be_used_the_server_gives_every_position(stablelm, tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "model.gguf"
    write_gguf(stablelm.state, stablelm.config, tokenizer, path, dtype="F32", name="t")
    monkeypatch.setattr(llama_library, "_DEFAULTS", (513, *llama_library._DEFAULTS[1:]))
    ids = tokenizer.encode("The river")
    with LlamaCppRuntime(path, 64) as runtime:
        found_TV = runtime.log_probabilities(ids)
    np.testing.assert_allclose(found_TV, DecoderRuntime(stablelm.model, tokenizer).log_probabilities(ids), atol=1e-4)


def test_a_library_that_computes_otherwise_than_the_server_is_refused(stablelm, tokenizer, tmp_path):
    for name, state in (("a", stablelm.state), ("b", stablelm.state | {"norm.weight": stablelm.state["norm.weight"] * 2})):
        write_gguf(state, stablelm.config, tokenizer, tmp_path / f"{name}.gguf", dtype="F32", name="t")
    with LlamaCppRuntime(tmp_path / "a.gguf", 64) as runtime:
        runtime._path = tmp_path / "b.gguf"
        with pytest.raises(ArtifactError, match="library and its server differ"):
            runtime.log_probabilities([1, 2])


def test_it_renders_the_files_template(stablelm, tokenizer, tmp_path, template):
    chat = ChatExport(template, (tokenizer.eos_id,))
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "m.gguf", dtype="F16", name="t", chat=chat)
    with LlamaCppRuntime(tmp_path / "m.gguf", 64) as runtime:
        assert runtime.encode_chat([{"role": "user", "content": "Größe"}]) == tokenizer.encode("[user|Größe][assistant|")
