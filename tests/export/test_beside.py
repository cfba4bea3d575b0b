import json

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.export.beside import ChatExport, check_vocabulary, write_beside
from pellucid.recipe.model import ModelConfig


def test_a_formats_own_values_take_the_place_of_the_usual_ones(stablelm, tokenizer, tmp_path):
    write_beside(stablelm.config, tokenizer, tmp_path, dtype="float16", changed={"tie_word_embeddings": "x", "new": 1})
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["tie_word_embeddings"], config["new"], config["dtype"], config["torch_dtype"]) == ("x", 1, "float16", "float16")


def test_generation_ends_at_every_id_that_ends_an_answer(stablelm, tokenizer, tmp_path):
    for chat, expected in ((None, tokenizer.eos_id), (ChatExport("t", (tokenizer.eos_id, 7)), [tokenizer.eos_id, 7])):
        write_beside(stablelm.config, tokenizer, tmp_path, dtype="float32", chat=chat)
        assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == expected
    assert (tmp_path / "chat_template.jinja").read_text() == "t"


def test_more_ids_than_rows_are_refused(stablelm, tokenizer):
    check_vocabulary(stablelm.config, tokenizer)
    with pytest.raises(ArtifactError, match="600 ids, the model's embedding 599 rows"):
        check_vocabulary(ModelConfig(**{**stablelm.config.model_dump(), "vocab_tokens": 599}), tokenizer)
