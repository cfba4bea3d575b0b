import json

import pytest

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.export.beside import ChatExport
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.runtimes.strangers import check_folder, check_gguf, check_rendering, check_template

GOOD = "{% for m in messages %}[{{ m['role'] }}|{{ m['content'] }}]{% endfor %}"
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}"


@pytest.fixture
def folder(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path, chat=ChatExport(GOOD, (tokenizer.eos_id,)))
    return tmp_path


def change(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_what_we_write_is_taken(folder, stablelm, tokenizer, tmp_path):
    check_folder(folder)
    write_gguf(stablelm.state, stablelm.config, tokenizer, tmp_path / "a.gguf", dtype="F16", name="a",
               chat=ChatExport(GOOD, (tokenizer.eos_id,)))  # fmt: skip
    check_gguf(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("file", "values", "said"),
    [
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}, "auto_map: got"),
        ("config.json", {"model_file": "evil.py"}, "model_file: got 'evil.py'; code is not taken from a model's folder"),
        ("config.json", {"num_hidden_layers": 10**12}, "num_hidden_layers: got 1000000000000; must be a whole number from 1 to"),
        ("config.json", {"vocab_size": -1}, "vocab_size"),
        ("tokenizer_config.json", {"tool_parser_type": "..evil"}, "tool_parser_type"),
        ("tokenizer_config.json", {"chat_template": ENDLESS}, "chat template"),
        ("generation_config.json", {"custom_generate": "someone/code"}, "custom_generate"),
        ("tokenizer.json", {"model": {"vocab": {"a": 2**40}}}, "tokenizer.json of the vocabulary: model.vocab"),
    ],
    ids=str,
)
def test_a_folder_that_names_code_or_asks_for_too_much_is_refused_by_file_and_field(folder, file, values, said):
    change(folder / file, **values)
    with pytest.raises(ArtifactError, match=said):
        check_folder(folder)


def test_a_template_that_does_not_end_is_stopped_and_one_that_refuses_the_probe_is_taken(tmp_path):
    with pytest.raises(ArtifactError, match=r"x\.jinja: chat template"):
        check_template(tmp_path / "x.jinja", ENDLESS)
    check_template(tmp_path / "x.jinja", "{{ raise_exception('a system prompt is wanted') }}")
    check_rendering(GOOD, [{"role": "user", "content": "a"}])
    with pytest.raises(UsageError):
        check_rendering("{{ ''.__class__.__mro__ }}", [{"role": "user", "content": "a"}])
    with pytest.raises(DataError):
        check_rendering("{{ raise_exception('no') }}", [{"role": "user", "content": "a"}])
