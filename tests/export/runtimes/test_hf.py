import json

import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError, DataError
from pellucid.export.hf import ChatExport, write_hf
from pellucid.export.probes import probe_texts
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.hf import TransformersRuntime

pytest.importorskip("transformers")
CUDA = torch.cuda.is_available()


def test_it_computes_what_our_decoder_does(trained, tokenizer, tmp_path):
    write_hf(trained.state, trained.config, tokenizer, tmp_path)
    ids = tokenizer.encode("The river had frozen early that year")[:30]
    with TransformersRuntime(tmp_path) as runtime:
        np.testing.assert_allclose(
            runtime.log_probabilities(ids), DecoderRuntime(trained.model, tokenizer).log_probabilities(ids), atol=1e-4
        )
        assert runtime.encode("<|endoftext|> 123") == tokenizer.encode("<|endoftext|> 123")
        assert (runtime.eos_id, runtime.stop_ids()) == (tokenizer.eos_id, {tokenizer.eos_id})
        assert runtime.encode_chat([{"role": "user", "content": "a"}]) is None


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no GPU"))])
def test_it_computes_where_it_is_told_and_says_so(trained, tokenizer, tmp_path, device):
    write_hf(trained.state, trained.config, tokenizer, tmp_path)
    ids = tokenizer.encode("The river had frozen early that year")[:30]
    own = DecoderRuntime(trained.model, tokenizer).log_probabilities(ids)
    with TransformersRuntime(tmp_path, device=device) as runtime:
        assert runtime.device.partition(":")[0] == device
        np.testing.assert_allclose(runtime.log_probabilities(ids), own, atol=1e-4 if device == "cpu" else 2e-2)
        stepped = runtime.steps([ids], 3)
        assert stepped.new[0][0] == own[-1].argmax() and stepped.at_s == sorted(stepped.at_s)


def test_it_renders_the_folders_template_and_tells_what_ends_an_answer(stablelm, tokenizer, tmp_path, template):
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system prompt') }}{% endif %}" + template
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path, chat=ChatExport(refusing, (tokenizer.eos_id, 5)))
    with TransformersRuntime(tmp_path) as runtime:
        assert runtime.encode_chat([{"role": "user", "content": "Größe"}]) == tokenizer.encode("[user|Größe][assistant|")
        assert runtime.stop_ids() == {tokenizer.eos_id, 5}
        with pytest.raises(DataError, match="no system prompt"):
            runtime.encode_chat([{"role": "system", "content": "a"}])


def test_a_pickle_in_the_place_of_the_weights_is_not_opened(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    torch.save(stablelm.state, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"pytorch_model\.bin holds pickled code and is not opened"):
        TransformersRuntime(tmp_path)


def test_a_folder_that_does_not_load_is_named(stablelm, tokenizer, tmp_path):
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ArtifactError, match=f"{tmp_path.name}/model.safetensors cannot be read"):
        TransformersRuntime(tmp_path)
    write_hf(stablelm.state, stablelm.config, tokenizer, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such"}))
    with pytest.raises(ArtifactError, match="does not load"):
        TransformersRuntime(tmp_path)


def test_vocabularies_of_others_are_carried_along_unchanged_and_read_alike_where_that_can_be(llama, published, pieces, tmp_path):
    for tokenizer, name, exact in ((published, "tokenizer.json", True), (pieces, "tokenizer.model", False)):
        folder = tmp_path / name
        write_hf(llama.state, llama.config, tokenizer, folder)
        assert (folder / name).read_bytes() == tokenizer._files.main
        with TransformersRuntime(folder) as runtime:
            equal = [runtime.encode(text) == tokenizer.encode(text) for text in probe_texts()]
        # transformers makes merges of SentencePiece's pieces, which cannot say all.
        assert all(equal) if exact else any(equal)
