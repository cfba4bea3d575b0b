"""Exports that converse: the runtimes render and read conversations as training does, and end answers where it ends them."""

import json

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.export.chat_parity import check_hf_chat
from pellucid.export.comparing import compare_conversations
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport, write_hf
from pellucid.export.probes import Probe, probe_conversations
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime

chats = pytest.importorskip("pellucid.tokenizer.chat")


def chat_of(tokenizer, tmp_path, name="chatml", system=None):
    return chats.load_chat_format(name, tokenizer, base=tmp_path, system=system)


def exported(chat):
    return ChatExport(chat.exported, chat.stop_ids)


def hf_folder(trained, tokenizer, chat, folder):
    write_hf(trained.state, trained.config, tokenizer, folder, chat=exported(chat))
    return folder


def gguf_file(trained, tokenizer, chat, path):
    write_gguf(trained.state, trained.config, tokenizer, path, dtype="F16", name="t", chat=chat)
    return path


def in_llama_cpp(path, chat, trained, tokenizer):
    """How many conversations llama.cpp reads as training does, and the ids that end answers in training and not there."""
    reference = DecoderRuntime(trained.model, tokenizer, chat)
    with LlamaCppRuntime(path, 64) as runtime:
        found = compare_conversations(runtime, reference, Probe((), (), probe_conversations(tokenizer)))
        return found["equal"], found["compared"], reference.stop_ids() - runtime.stop_ids()


def test_conversations_have_one_to_five_turns_with_and_without_a_system_prompt(tokenizer):
    conversations = probe_conversations(tokenizer)
    assert len(conversations) > 30
    shapes = {tuple(message["role"] for message in messages) for messages in conversations}
    assert len(shapes) == 6
    assert all(roles[-1] == "user" for roles in shapes)


@pytest.mark.parametrize("name", ["chatml", "zephyr", "plain"])
@pytest.mark.parametrize("system", [None, "Be brief; say 'no'."])
def test_transformers_reads_conversations_from_the_folder_as_training_does(llama, tokenizer, tmp_path, name, system):
    pytest.importorskip("transformers")
    chat = chat_of(tokenizer, tmp_path, name, system)
    result = check_hf_chat(hf_folder(llama, tokenizer, chat, tmp_path / "hf"), chat, tokenizer)
    assert result["conversations_with_equal_ids"] == 2 * len(probe_conversations(tokenizer))


@pytest.mark.parametrize("name", ["chatml", "zephyr", "plain"])
def test_llama_cpp_reads_conversations_from_the_file_as_training_does_and_ends_answers(llama, tokenizer, tmp_path, name):
    pytest.importorskip("xllamacpp")
    chat = chat_of(tokenizer, tmp_path, name, "Be brief.")
    path = gguf_file(llama, tokenizer, exported(chat), tmp_path / "model.gguf")
    every = len(probe_conversations(tokenizer))
    assert in_llama_cpp(path, chat, llama, tokenizer) == (every, every, set())


def test_published_vocabularies_converse_alike_too(llama, published, tmp_path):
    pytest.importorskip("transformers")
    chat = chat_of(published, tmp_path, "zephyr")
    folder = hf_folder(llama, published, chat, tmp_path / "hf")
    assert check_hf_chat(folder, chat, published)["conversations_with_equal_ids"] > 70
    path = gguf_file(llama, published, exported(chat), tmp_path / "model.gguf")
    equal, compared, _ = in_llama_cpp(path, chat, llama, published)
    assert equal == compared > 30


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_with_sentencepiece_transformers_reads_conversations_as_training_does(llama, pieces, tmp_path, system):
    pytest.importorskip("transformers")
    chat = chat_of(pieces, tmp_path, "zephyr", system)
    result = check_hf_chat(hf_folder(llama, pieces, chat, tmp_path / "hf"), chat, pieces)
    assert result == {"conversations_with_equal_ids": 2 * len(probe_conversations(pieces))}


def test_another_template_in_the_folder_is_not_certified(llama, tokenizer, tmp_path):
    pytest.importorskip("transformers")
    chat = chat_of(tokenizer, tmp_path)
    folder = hf_folder(llama, tokenizer, chat, tmp_path / "hf")
    (folder / "chat_template.jinja").write_text(chat.exported.replace("user", "User") + "{{ '\\n' }}")
    with pytest.raises(ArtifactError, match=r"in transformers reads the conversation .* as the ids"):
        check_hf_chat(folder, chat, tokenizer)


def test_a_file_whose_answers_would_not_end_is_not_certified(llama, tokenizer, tmp_path):
    pytest.importorskip("xllamacpp")
    (tmp_path / "own.jinja").write_text(
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% if m['role'] == 'assistant' %}<|reg3|>{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    chat = chat_of(tokenizer, tmp_path, "own.jinja")
    end = tokenizer.special["<|reg3|>"]
    assert chat.stop_ids == (tokenizer.eos_id, end)
    assert not in_llama_cpp(gguf_file(llama, tokenizer, exported(chat), tmp_path / "model.gguf"), chat, llama, tokenizer)[2]
    unsaid = ChatExport(chat.exported, (tokenizer.eos_id,))
    assert in_llama_cpp(gguf_file(llama, tokenizer, unsaid, tmp_path / "model.gguf"), chat, llama, tokenizer)[2] == {end}


def test_generation_in_transformers_ends_at_every_stop_id(llama, tokenizer, tmp_path):
    chat = chat_of(tokenizer, tmp_path)
    folder = hf_folder(llama, tokenizer, chat, tmp_path / "hf")
    assert len(chat.stop_ids) == 2
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == list(chat.stop_ids)
