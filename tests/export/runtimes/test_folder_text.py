import json
import shutil

import pytest

from pellucid.core.errors import ArtifactError, DataError
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes.folder_text import FolderText, open_tokenizer
from pellucid.tokenizer.training import train_bpe

pytest.importorskip("transformers")

REFUSING = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system prompt') }}{% endif %}{{ messages[0]['content'] }}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    train_bpe(probe_texts(), 400).save_for_transformers(folder, 64)
    return folder


def test_a_special_tokens_name_is_read_as_text_and_nothing_is_added(folder):
    theirs, ours = FolderText(open_tokenizer(folder)), train_bpe(probe_texts(), 400)
    for text in [*probe_texts(), "a<|endoftext|>b", ""]:
        assert theirs.encode(text) == ours.encode(text)


def test_a_plain_call_tells_what_the_folder_has_added(folder, tmp_path):
    ours = train_bpe(probe_texts(), 400)
    assert FolderText(open_tokenizer(folder)).encode_plain("The river") == ours.encode("The river")
    shutil.copytree(folder, tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    end = {"id": "<|endoftext|>", "ids": [ours.eos_id], "tokens": ["<|endoftext|>"]}
    pieces = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    added = {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": {"<|endoftext|>": end}}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": added}))
    reader = FolderText(open_tokenizer(tmp_path / "other"))
    assert reader.encode_plain("The river") == [ours.eos_id, *ours.encode("The river")]
    assert reader.encode("The river") == ours.encode("The river")


def test_a_template_renders_up_to_the_answer_or_refuses(folder):
    tokenizer = open_tokenizer(folder)
    reader = FolderText(tokenizer)
    assert reader.encode_chat([{"role": "user", "content": "Hello"}]) is None
    tokenizer.chat_template = REFUSING
    assert reader.encode_chat([{"role": "user", "content": "Hello"}]) == reader.encode("Hello")
    with pytest.raises(DataError, match="no system prompt"):
        reader.encode_chat([{"role": "system", "content": "Hello"}])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(ArtifactError, match="does not read the tokenizer"):
        open_tokenizer(tmp_path)
