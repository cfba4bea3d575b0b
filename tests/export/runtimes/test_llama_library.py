import numpy as np
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes import llama_library
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.llama_library import LlamaLibrary
from pellucid.export.runtimes.log_softmax import log_softmax

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def file(stablelm, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(stablelm.state, stablelm.config, tokenizer, path, dtype="F32", name="t")
    return path


@pytest.fixture
def library(file):
    opened = LlamaLibrary(file)
    yield opened
    opened.close()
    opened.close()


def test_it_gives_the_servers_ids_and_log_probabilities(file, library, tokenizer):
    ids = tokenizer.encode("The river had frozen early")[:40]
    found_TV = log_softmax(library.logits(ids))
    with LlamaCpp(file, 64) as server:
        assert [library.tokenize(text) for text in probe_texts()[::9]] == [server.tokenize(text) for text in probe_texts()[::9]]
        for last in (0, len(ids) // 2, len(ids) - 1):
            np.testing.assert_allclose(found_TV[last], server.log_probabilities(ids[: last + 1], 608), atol=1e-4)


def test_a_second_text_does_not_see_the_first_and_a_longer_one_gets_a_longer_context(library, stablelm, tokenizer):
    ids = tokenizer.encode(" ".join(probe_texts()[:40]))
    ours = DecoderRuntime(stablelm.model, tokenizer)
    for one in (ids[:8], ids[8:16], ids[:64], ids[:5]):
        np.testing.assert_allclose(log_softmax(library.logits(one)), ours.log_probabilities(one), atol=1e-4)
    assert library.logits(ids[:200]).shape == (200, 608)


def test_it_reads_special_tokens_only_when_told_to_and_knows_what_ends_an_answer(library, tokenizer):
    assert library.tokenize("<|endoftext|>a", parse_special=True) == [tokenizer.eos_id, *tokenizer.encode("a")]
    assert library.tokenize("<|endoftext|>a") == tokenizer.encode("<|endoftext|>a")
    assert library.tokenize("") == []
    assert (library.eos_id, library.chat_template) == (tokenizer.eos_id, None)
    assert {tokenizer.eos_id} <= library.stop_ids() <= set(tokenizer.special.values())


def test_it_adds_what_the_file_asks_for_only_when_told_to(stablelm, tokenizer, tmp_path):
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "m.gguf"
    write_gguf(stablelm.state, stablelm.config, tokenizer, path, dtype="F16", name="t")
    reader = gguf.GGUFReader(path, "r+")
    for name in ("bos", "eos"):
        reader.fields[f"tokenizer.ggml.add_{name}_token"].parts[-1][0] = 1
    reader.data.flush()
    opened, ids = LlamaLibrary(path), tokenizer.encode("The river")
    assert opened.tokenize("The river") == ids
    assert opened.tokenize("The river", add_special=True) == [tokenizer.eos_id, *ids, tokenizer.eos_id]
    opened.close()


def test_it_gives_the_files_template(stablelm, tokenizer, tmp_path):
    chat = ChatExport("{{ messages[0]['content'] }} ü", (tokenizer.eos_id,))
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "m.gguf", dtype="F16", name="t", chat=chat)
    opened = LlamaLibrary(tmp_path / "m.gguf")
    assert opened.chat_template == chat.template
    opened.close()


def test_a_file_that_is_cut_short_or_missing_is_named(file, tmp_path):
    path = tmp_path / "cut.gguf"
    path.write_bytes(file.read_bytes()[:5000])
    for one in (path, tmp_path / "none.gguf"):
        with pytest.raises(ArtifactError, match=f"does not load .*{one.name}"):
            LlamaLibrary(one)


def test_settings_in_another_layout_are_refused_before_they_are_written(library, monkeypatch):
    monkeypatch.setattr(llama_library, "_DEFAULTS", (513, *llama_library._DEFAULTS[1:]))
    with pytest.raises(ArtifactError, match="lays out a context's settings"):
        library.logits([1, 2])
