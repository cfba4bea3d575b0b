import os

import numpy as np
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.probes import probe_texts
from pellucid.tokenizer.arcade import arcade100k

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def file(stablelm, tokenizer, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(stablelm.state, stablelm.config, tokenizer, path, dtype="F16", name="t")
    return path


def test_it_reads_text_and_generates_with_a_proxy_in_the_environment(file, tokenizer, monkeypatch):
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:9")
    with LlamaCpp(file, 64) as runtime:
        text = "<|endoftext|> is text here, 123"
        assert runtime.tokenize(text) == tokenizer.encode(text)
        log_V = runtime.log_probabilities(tokenizer.encode("The river"), 608)
        assert np.exp(log_V).sum() == pytest.approx(1, abs=1e-4)
        assert runtime.generate(tokenizer.encode("The river"), 4)


def test_it_recognises_special_tokens_when_told_to_and_ends_at_the_end_of_text(file, tokenizer):
    with LlamaCpp(file, 64) as runtime:
        assert runtime.tokenize("<|endoftext|>a", parse_special=True) == [tokenizer.eos_id, *tokenizer.encode("a")]
        assert runtime.ends_at(tokenizer.eos_id)
        assert not runtime.ends_at(tokenizer.encode("b")[0])


def test_it_renders_the_template_of_the_file(stablelm, tokenizer, tmp_path):
    template = "{% for m in messages %}[{{ m['role'] }}|{{ m['content'] }}]{% endfor %}{{ '[assistant|' if add_generation_prompt }}"
    chat = ChatExport(template, (tokenizer.eos_id,))
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "m.gguf", dtype="F16", name="t", chat=chat)
    with LlamaCpp(tmp_path / "m.gguf", 64) as runtime:
        assert runtime.render([{"role": "user", "content": "Größe"}]) == "[user|Größe][assistant|"


def test_a_conversation_that_the_template_refuses_is_told_with_its_reason(stablelm, tokenizer, tmp_path):
    chat = ChatExport("{{ raise_exception('no such talk\n here') if messages[0]['content'] == 'Größe' }}a", (tokenizer.eos_id,))
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "m.gguf", dtype="F16", name="t", chat=chat)
    with (
        LlamaCpp(tmp_path / "m.gguf", 64) as runtime,
        pytest.raises(ArtifactError, match=r"^llama\.cpp answers /apply-template with \d+: .*no such talk here.*$"),
    ):
        runtime.render([{"role": "user", "content": "Größe"}])


def test_it_can_be_closed_without_having_been_asked_anything(file):
    with LlamaCpp(file, 64) as runtime:
        assert runtime.version


def test_a_file_that_is_no_gguf_is_named(tmp_path):
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ArtifactError, match=r"llama\.cpp does not load .*broken\.gguf"):
        LlamaCpp(path, 64)


@pytest.mark.slow
def test_arcade100k_reads_every_probe_text_alike_in_llama_cpp(stablelm, tmp_path):
    pytest.importorskip("tiktoken_ext")
    tokenizer = arcade100k()
    shape = {"vocab_tokens": 100_352, "layers": 1}
    model = type(stablelm.model)(stablelm.config.model_copy(update=shape))
    write_gguf(model.state_dict(), model.config, tokenizer, tmp_path / "model.gguf", dtype="F16", name="t")
    with LlamaCpp(tmp_path / "model.gguf", 64) as runtime:
        assert [text for text in probe_texts() if runtime.tokenize(text) != tokenizer.encode(text)] == []
