import json
from pathlib import Path
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.core.files import write_json
from pellucid.tokenizer.imported import ImportedFiles, choose_eos, read_imported, reload_imported

SPECIAL = {"<s>": 1, "</s>": 2}


def test_a_file_under_another_name_comes_alone_and_a_folder_with_its_known_neighbours(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors", "gpt2.json"):
        (tmp_path / name).write_text("{}")
    assert set(read_imported("huggingface", tmp_path).files) == {"tokenizer.json", "tokenizer_config.json"}
    assert read_imported("huggingface", tmp_path / "tokenizer.json") == read_imported("huggingface", tmp_path)
    assert set(read_imported("huggingface", tmp_path / "gpt2.json").files) == {"tokenizer.json"}


def test_the_digest_is_of_names_and_bytes_and_not_of_the_place(tmp_path: Path) -> None:
    files = ImportedFiles("huggingface", {"tokenizer.json": b"{}", "merges.txt": b"a"})
    files.save(tmp_path, "</s>")
    again, eos = reload_imported("huggingface", tmp_path)
    assert (again.digest, eos) == (files.digest, "</s>")
    assert ImportedFiles("huggingface", {"tokenizer.json": b"{}", "vocab.json": b"a"}).digest != files.digest
    assert ImportedFiles("huggingface", {"tokenizer.json": b"{} ", "merges.txt": b"a"}).digest != files.digest


@pytest.mark.parametrize(
    ("name", "text", "eos"),
    [
        ("tokenizer_config.json", '{"eos_token": "</s>"}', "</s>"),
        ("tokenizer_config.json", '{"eos_token": {"content": "<e>", "lstrip": false}}', "<e>"),
        ("special_tokens_map.json", '{"eos_token": "<x>"}', "<x>"),
        ("tokenizer_config.json", '{"eos_token": null}', None),
        ("vocab.json", '{"eos_token": "no"}', None),
    ],
)
def test_the_end_of_text_is_what_the_published_files_name(name: str, text: str, eos: str | None) -> None:
    assert ImportedFiles("huggingface", {"tokenizer.json": b"{}", name: text.encode()}).named_eos == eos


def test_the_recipe_is_asked_first_then_the_files_then_whether_there_is_only_one() -> None:
    assert choose_eos(SPECIAL, "<s>", "</s>") == "<s>"
    assert choose_eos(SPECIAL, None, "</s>") == "</s>"
    assert choose_eos({"<eot>": 0}, None, None) == "<eot>"
    for wanted, named, message in (
        ("x", "</s>", r"tokenizer\.eos: 'x' is no special token"),
        (None, "y", "the vocabulary's own files: 'y' is no special token"),
        (None, None, r"tokenizer\.eos: missing, .*its special tokens: '<s>', '</s>'"),
    ):
        with pytest.raises(UsageError, match=message):
            choose_eos(SPECIAL, wanted, named)
    with pytest.raises(UsageError, match="it has no special tokens"):
        choose_eos({}, None, None)


def test_a_file_that_is_gone_from_the_artifact_is_named(tmp_path: Path) -> None:
    ImportedFiles("huggingface", {"tokenizer.json": b"{}"}).save(tmp_path, "</s>")
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json is missing"):
        reload_imported("huggingface", tmp_path)
    write_json(tmp_path / "pellucid_tokenizer.json", {"kind": "huggingface"})
    with pytest.raises(ArtifactError, match="does not name files and eos"):
        reload_imported("huggingface", tmp_path)


BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
TEXT = {"Sequence": {"id": "A", "type_id": 0}}
LLAMA3 = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, TEXT], "pair": [TEXT]}
PLAIN = {"type": "TemplateProcessing", "single": [TEXT], "pair": [TEXT, TEXT]}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (None, None),
        (BYTES, BYTES),
        (PLAIN, PLAIN),
        (LLAMA3, None),
        ({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}, None),
        ({"type": "Sequence", "processors": [BYTES, LLAMA3]}, {"type": "Sequence", "processors": [BYTES]}),
        ({"type": "Sequence", "processors": [LLAMA3]}, None),
    ],
)
def test_an_export_says_what_training_did_and_keeps_the_rest_of_the_published_files(
    tmp_path: Path, given: Any, written: Any
) -> None:
    published = {
        "tokenizer.json": {"post_processor": given, "model": {"vocab": {"a": 0}}},
        "tokenizer_config.json": {"eos_token": "<x>", "add_bos_token": True, "model_max_length": 9, "chat_template": "{{ a }}"},
        "special_tokens_map.json": {"eos_token": {"content": "<x>"}, "pad_token": "<pad>"},
    }
    files = ImportedFiles("huggingface", {name: json.dumps(values).encode() for name, values in published.items()})
    files.save_for_transformers(tmp_path, "</s>", 512, "PreTrainedTokenizerFast")
    values, config, special = (json.loads((tmp_path / name).read_bytes()) for name in published)
    assert values == {"post_processor": written, "model": {"vocab": {"a": 0}}}
    if given == written:
        assert (tmp_path / "tokenizer.json").read_bytes() == files.main
    assert config.items() >= {"eos_token": "</s>", "bos_token": "</s>", "model_max_length": 512, "chat_template": "{{ a }}"}.items()
    assert not config["add_bos_token"] and not config["add_eos_token"]
    assert special == {"eos_token": "</s>", "bos_token": "</s>", "pad_token": "<pad>"}
    assert reload_imported("huggingface", tmp_path)[1] == "</s>"


@pytest.mark.parametrize("data", [b"{", b"[]"])
def test_a_neighbour_that_is_no_json_mapping_is_named(data: bytes) -> None:
    with pytest.raises(DataError, match=r"tokenizer_config\.json of the vocabulary"):
        assert ImportedFiles("huggingface", {"tokenizer_config.json": data}).named_eos
