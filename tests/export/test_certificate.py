import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import torch

from pellucid.core.errors import ArtifactError
from pellucid.evals.choices.item import choice_item
from pellucid.export import gguf as gguf_export
from pellucid.export.certificate import Exported, certify, changed_files, differences, file_facts, require
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport, write_hf
from pellucid.export.known_readings import known_readings
from pellucid.export.probes import Probe, certificate_strings, stand_in_documents
from pellucid.export.read_back import read_back, shape_differences
from pellucid.export.runtimes.decoder import DecoderRuntime
from pellucid.export.runtimes.hf import TransformersRuntime
from pellucid.export.runtimes.llama_cpp import LlamaCppRuntime
from pellucid.export.weight_errors import weight_errors
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.chat_template import ChatTemplate
from pellucid.tokenizer.from_sentencepiece import SentencePieceTokenizer
from pellucid.tokenizer.imported import ImportedFiles
from pellucid.tokenizer.piece_model import piece_model_bytes

pytest.importorskip("xllamacpp")
pytest.importorskip("transformers")

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}|{{ m['content'] }}]{% endfor %}{{ '[assistant|' if add_generation_prompt }}"
RUNTIMES = ("llama.cpp", "transformers")


@pytest.fixture(scope="module")
def chat(tokenizer):
    return ChatFormat(ChatTemplate(TEMPLATE, "test", datetime(2026, 1, 1)), tokenizer)


@pytest.fixture(scope="module")
def probe():
    talk = [
        {"role": "user", "content": "Wie heißt du?"},
        {"role": "assistant", "content": "Otto."},
        {"role": "user", "content": "So?"},
    ]
    questions = [choice_item(str(n), "It was a", ["good", "bad", "long"], n % 3) for n in range(2)]
    return Probe(certificate_strings(), stand_in_documents(), [talk[:1], talk], questions, tokens=500)


@pytest.fixture(params=["stablelm", "llama"])
def model(request):
    return request.getfixturevalue(request.param)


def write(runtime, trained, tokenizer, folder, *, state=None, dtype="F32", template=TEMPLATE):
    """An export of a model, or of another state in its place."""
    state = trained.state if state is None else state
    given = None if template is None else ChatExport(template, (tokenizer.eos_id,))
    folder.mkdir(parents=True, exist_ok=True)
    if runtime == "transformers":
        write_hf(state, trained.config, tokenizer, folder, chat=given)
        return folder
    write_gguf(state, trained.config, tokenizer, folder / "model.gguf", dtype=dtype, name="t", chat=given)
    return folder / "model.gguf"


def look_at(path, trained, tokenizer, chat, probe, *, dtype="F32", weights=True):
    """The certificate of an export; without `weights` only what its runtime says counts."""
    config = trained.config
    back = read_back(path, config) if weights else None
    errors, shape = (weight_errors(trained.state, back, dtype), shape_differences(config, back.config)) if back else (None, None)
    special, known = frozenset(tokenizer.special.values()), known_readings(tokenizer, is_gguf=path.is_file())
    what = Exported(path, dtype, config.context_tokens, config.vocab_tokens, special, errors, shape, *known)
    opened = LlamaCppRuntime(path, config.context_tokens) if path.is_file() else TransformersRuntime(path)
    with opened as runtime:
        return certify(runtime, DecoderRuntime(trained.model, tokenizer, chat), probe, what)


def with_swapped(state, name, first, second, size):
    """A copy of a state in which two blocks of rows have changed places."""
    changed = state[name].clone()
    changed[first * size : (first + 1) * size] = state[name][second * size : (second + 1) * size]
    changed[second * size : (second + 1) * size] = state[name][first * size : (first + 1) * size]
    return state | {name: changed}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_faithful_export_passes_and_its_certificate_says_what_was_compared(runtime, model, tokenizer, chat, probe, tmp_path):
    path = write(runtime, model, tokenizer, tmp_path)
    found = look_at(path, model, tokenizer, chat, probe)
    assert found["reasons"] == []
    assert found["passed"]
    require(found)
    assert found["runtime"] == runtime
    every = len(probe.strings)
    assert found["strings"] == {"compared": every, "equal": every, "known_otherwise": 0, "first_difference": None}
    assert found["strings"]["compared"] >= 1000
    assert found["conversations"]["equal"] == found["conversations"]["compared"] == 2
    assert found["distributions"]["positions"] == 500
    assert found["distributions"]["kl_nats"]["max"] < 1e-8
    assert found["distributions"]["largest_log_probability_difference"] < 1e-4
    assert found["distributions"]["perplexity"]["ratio"] == pytest.approx(1, abs=1e-6)
    assert found["questions"]["same_choice_frac"] == 1
    assert found["weights"]["largest_row_error"] == 0
    assert found["shape"] == []
    assert found["adds"] == {"before": [], "after": []}
    assert found["load_s"] > 0
    assert found["bytes"] == sum(one["bytes"] for one in found["files"].values())
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("dtype", ["F32", "F16", "Q8_0"])
@pytest.mark.filterwarnings("ignore:Q8_0 does not fit")
def test_a_faithful_export_of_every_shape_passes_in_llama_cpp(trained, tokenizer, chat, probe, tmp_path, dtype):
    path = write("llama.cpp", trained, tokenizer, tmp_path, dtype=dtype)
    short = Probe(probe.strings[:50], probe.documents, probe.conversations, tokens=300)
    found = look_at(path, trained, tokenizer, chat, short, dtype=dtype)
    assert (found["reasons"], found["shape"]) == ([], [])


def test_a_faithful_export_of_every_shape_passes_in_transformers(trained, tokenizer, chat, probe, tmp_path):
    path = write("transformers", trained, tokenizer, tmp_path)
    short = Probe(probe.strings[:50], probe.documents, probe.conversations, tokens=300)
    found = look_at(path, trained, tokenizer, chat, short, dtype="float32")
    assert (found["reasons"], found["shape"]) == ([], [])


def in_gguf(path, fields=(), tensors=()):
    """Plant faults in a GGUF file: fields set to other values, and tensors' bytes (a row of them for each row) changed in place."""
    reader = pytest.importorskip("gguf").GGUFReader(path, "r+")
    for name, value in dict(fields).items():
        reader.fields[name].parts[-1][0] = value
    for name, change in dict(tensors).items():
        change(next(one.data for one in reader.tensors if one.name == name))
    reader.data.flush()


WRONG_SHAPE = {
    "context": ("context_length", "max_position_embeddings", 128, "context_tokens is 128 in the export, 64 in the checkpoint"),
    "rotary base": ("rope.freq_base", "rope_theta", 11000.0, "rotary_base is 11000.0 in the export, 10000.0 in the checkpoint"),
    "eps": ("attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-2, "norm_eps is 0.01 in the export, 1e-05 in the checkpoint"),
}


@pytest.mark.parametrize("wrong", WRONG_SHAPE)
@pytest.mark.filterwarnings("ignore:Q4_0 does not fit")
def test_a_wrong_shape_fails_though_a_rough_type_hides_it_from_the_distributions(llama, tokenizer, chat, probe, tmp_path, wrong):
    field, theirs, value, reason = WRONG_SHAPE[wrong]
    path = write("llama.cpp", llama, tokenizer, tmp_path / "gguf", dtype="Q4_0")
    short = Probe(probe.strings[:9], probe.documents, tokens=100)
    assert look_at(path, llama, tokenizer, chat, short, dtype="Q4_0")["reasons"] == []
    in_gguf(path, {f"llama.{field}": value})
    found = look_at(path, llama, tokenizer, chat, short, dtype="Q4_0")
    assert reason in found["reasons"]
    assert [one["export"] for one in found["shape"]] == [value]
    path = write("transformers", llama, tokenizer, tmp_path / "hf")
    values = json.loads((path / "config.json").read_text()) | {theirs: value}
    values["rope_parameters"]["rope_theta"] = values["rope_theta"]
    (path / "config.json").write_text(json.dumps(values))
    assert reason in look_at(path, llama, tokenizer, chat, short)["reasons"]


def test_other_rotated_channels_fail_and_another_share_that_rotates_the_same_does_not(stablelm, tokenizer, tmp_path):
    path = write("llama.cpp", stablelm, tokenizer, tmp_path)
    in_gguf(path, {"stablelm.rope.dimension_count": 8})
    read = shape_differences(stablelm.config, read_back(path, stablelm.config).config)
    assert read == [{"field": "rotary_frac", "checkpoint": 0.25, "export": 0.5}]
    same = stablelm.config.model_copy(update={"rotary_frac": 0.51})
    assert shape_differences(same, read_back(path, same).config) == []


@pytest.mark.parametrize(("name", "where"), [("bos", "before"), ("eos", "after")])
def test_a_token_that_llama_cpp_is_asked_to_add_fails(llama, tokenizer, chat, probe, tmp_path, name, where):
    path = write("llama.cpp", llama, tokenizer, tmp_path)
    in_gguf(path, {f"tokenizer.ggml.add_{name}_token": True})
    found = look_at(path, llama, tokenizer, chat, Probe(probe.strings[:9], probe.documents, tokens=100))
    assert found["reasons"] == [f"a plain call puts the ids [{tokenizer.eos_id}] {where} a text, and training put none there"]


def test_a_token_that_a_folders_tokenizer_adds_fails(llama, tokenizer, chat, probe, tmp_path):
    path = write("transformers", llama, tokenizer, tmp_path)
    values = json.loads((path / "tokenizer.json").read_text())
    end = {"id": "<|endoftext|>", "ids": [tokenizer.eos_id], "tokens": ["<|endoftext|>"]}
    pieces = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    added = {"type": "TemplateProcessing", "single": pieces, "pair": pieces, "special_tokens": {"<|endoftext|>": end}}
    (path / "tokenizer.json").write_text(json.dumps(values | {"post_processor": added}))
    found = look_at(path, llama, tokenizer, None, Probe(probe.strings[:9], probe.documents, tokens=100))
    assert found["reasons"] == [f"a plain call puts the ids [{tokenizer.eos_id}] before a text, and training put none there"]


@pytest.mark.filterwarnings("ignore:Q4_0 does not fit")
def test_one_flipped_sign_in_a_norm_of_a_four_bit_file_fails(llama, tokenizer, chat, probe, tmp_path):
    path = write("llama.cpp", llama, tokenizer, tmp_path, dtype="Q4_0")

    def flip(data):
        data.view(np.uint8).reshape(-1)[4 * 5 + 3] ^= 0x80

    in_gguf(path, tensors={"blk.1.ffn_norm.weight": flip})
    found = look_at(path, llama, tokenizer, chat, Probe(probe.strings[:9], probe.documents, tokens=100), dtype="Q4_0")
    assert found["weights"]["type"] == "f32"
    assert any("blocks.1.mlp_norm.weight, row 0 is off by" in one and "limit 1e-06 for f32" in one for one in found["reasons"])


@pytest.mark.parametrize("dtype", ["BF16", "Q4_0"])
@pytest.mark.filterwarnings("ignore:Q4_0 does not fit")
def test_two_swapped_rows_of_a_tied_head_that_is_written_out_fail(tied_stablelm, tokenizer, chat, probe, tmp_path, dtype):
    path = write("llama.cpp", tied_stablelm, tokenizer, tmp_path, dtype=dtype)
    short = Probe(probe.strings[:9], probe.documents, tokens=100)
    assert look_at(path, tied_stablelm, tokenizer, chat, short, dtype=dtype)["reasons"] == []

    def swap(data):
        data[[100, 300]] = data[[300, 100]]

    in_gguf(path, tensors={"output.weight": swap})
    found = look_at(path, tied_stablelm, tokenizer, chat, short, dtype=dtype)
    assert found["weights"]["tensor"] == "head.weight"
    assert found["weights"]["row"] in (100, 300)
    assert any("head.weight, row" in reason for reason in found["reasons"])


def test_half_precision_passes_by_its_own_limits_and_not_by_float32s(model, tokenizer, chat, probe, tmp_path):
    path = write("llama.cpp", model, tokenizer, tmp_path, dtype="F16")
    assert look_at(path, model, tokenizer, chat, probe, dtype="F16")["reasons"] == []
    assert not look_at(path, model, tokenizer, chat, probe, dtype="F32")["passed"]


@pytest.mark.parametrize("weights", [True, False], ids=["weights read back", "runtime alone"])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_permuted_heads_fail(model, tokenizer, chat, probe, tmp_path, dtype, weights):
    state = with_swapped(model.state, "blocks.1.attention.query.weight", 0, 1, model.config.head_channels)
    path = write("llama.cpp", model, tokenizer, tmp_path, state=state, dtype=dtype)
    found = look_at(path, model, tokenizer, chat, probe, dtype=dtype, weights=weights)
    assert any("KL divergence, mean" in reason for reason in found["reasons"])
    assert any("blocks.1.attention.query.weight, row" in reason for reason in found["reasons"]) == weights


@pytest.mark.parametrize("dtype", ["Q8_0", "Q4_0"])
def test_permuted_heads_fail_by_their_weights_where_a_type_rounds_much(llama, tokenizer, chat, probe, tmp_path, dtype):
    state = with_swapped(llama.state, "blocks.1.attention.query.weight", 0, 1, llama.config.head_channels)
    path = write("llama.cpp", llama, tokenizer, tmp_path, state=state)
    found = look_at(path, llama, tokenizer, chat, probe, dtype=dtype)
    with pytest.raises(ArtifactError, match=rf"{dtype} export is not the checkpoint in llama.cpp: .*attention.query.weight, row"):
        require(found)


def test_heads_in_the_order_of_another_rotation_fail(llama, tokenizer, chat, probe, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_export, "_interleave", lambda array, head_channels: array)
    path = write("llama.cpp", llama, tokenizer, tmp_path, dtype="F16")
    found = look_at(path, llama, tokenizer, chat, probe, dtype="F16", weights=False)
    assert any("KL divergence" in reason for reason in found["reasons"])


def test_one_flipped_byte_anywhere_is_told_from_the_certified_file(stablelm, tokenizer, tmp_path):
    path = write("llama.cpp", stablelm, tokenizer, tmp_path)
    certificate, whole = file_facts(path), path.read_bytes()
    assert changed_files(certificate, path) == []
    for place in np.random.default_rng(1).integers(0, len(whole), 30):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert len(changed_files(certificate, path)) == 1
    path.write_bytes(whole)
    assert changed_files(certificate, path) == []


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_one_flipped_byte_in_the_weights_fails_though_no_digest_is_known(runtime, stablelm, tokenizer, chat, probe, tmp_path):
    path = write(runtime, stablelm, tokenizer, tmp_path)
    file = path if path.is_file() else path / "model.safetensors"
    weight = stablelm.state["blocks.0.mlp.down.weight"][3, 5]
    raw = bytearray(file.read_bytes())
    place = raw.index(stablelm.state["blocks.0.mlp.down.weight"][3].numpy().tobytes()) + 4 * 5
    raw[place + 3] ^= 0x40  # the exponent's highest bit
    file.write_bytes(raw)
    assert abs(float(np.frombuffer(raw[place : place + 4], np.float32)[0]) / float(weight)) > 1e10
    reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    assert any("blocks.0.mlp.down.weight, row 3 is off" in reason for reason in reasons)
    assert any("KL divergence" in reason for reason in reasons)


def test_a_missing_or_added_file_is_told(stablelm, tokenizer, tmp_path):
    path = write("transformers", stablelm, tokenizer, tmp_path)
    certificate = file_facts(path)
    (path / "generation_config.json").unlink()
    (path / "pytorch_model.bin").write_bytes(b"x")
    assert changed_files(certificate, path) == [
        "generation_config.json is missing",
        "pytorch_model.bin was not there when the export was certified",
    ]


def test_a_wrong_pre_tokenizer_fails_in_llama_cpp(stablelm, tokenizer, chat, probe, tmp_path):
    path = write("llama.cpp", stablelm, tokenizer, tmp_path)
    raw = path.read_bytes()
    before = tokenizer.vocabulary().pre.encode()
    other = b"starcoder"  # of the same length, and by the rules of GPT-2
    assert before != other
    assert len(before) == len(other)
    assert raw.count(before) == 1
    path.write_bytes(raw.replace(before, other))
    found = look_at(path, stablelm, tokenizer, chat, probe)
    assert any("strings get other ids" in reason for reason in found["reasons"])
    assert 0 < found["strings"]["equal"] < found["strings"]["compared"]
    assert found["distributions"]["kl_nats"]["max"] < 1e-8  # the weights are not to blame


def test_a_wrong_pre_tokenizer_fails_in_transformers(stablelm, tokenizer, chat, probe, tmp_path):
    path = write("transformers", stablelm, tokenizer, tmp_path)
    values = json.loads((path / "tokenizer.json").read_text())
    values["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (path / "tokenizer.json").write_text(json.dumps(values))
    found = look_at(path, stablelm, tokenizer, chat, probe)
    assert any("strings get other ids" in reason for reason in found["reasons"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_missing_chat_template_fails_and_another_one_too(runtime, stablelm, tokenizer, chat, probe, tmp_path):
    path = write(runtime, stablelm, tokenizer, tmp_path / "none", template=None)
    reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    assert reasons == ["it brings no chat template, and the model was trained with one"]
    path = write(runtime, stablelm, tokenizer, tmp_path / "other", template=TEMPLATE.replace("|", ":"))
    reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    assert len(reasons) == 1
    assert reasons[0].startswith("2 of 2 conversations get other ids: 'user: Wie heißt du?', from token ")


def test_a_wrong_end_of_text_fails_in_llama_cpp(stablelm, tokenizer, chat, probe, tmp_path):
    gguf = pytest.importorskip("gguf")
    path = write("llama.cpp", stablelm, tokenizer, tmp_path)
    wrong = tokenizer.encode("e")[0]
    reader = gguf.GGUFReader(path, "r+")
    reader.fields["tokenizer.ggml.eos_token_id"].parts[-1][0] = wrong
    reader.data.flush()
    found = look_at(path, stablelm, tokenizer, chat, probe)
    assert f"its end of text is id {wrong}, training's {tokenizer.eos_id}" in found["reasons"]
    assert f"an answer ends at [{wrong}], which are tokens of text" in found["reasons"]


def test_a_wrong_end_of_text_fails_in_transformers(stablelm, tokenizer, chat, probe, tmp_path):
    path = write("transformers", stablelm, tokenizer, tmp_path)
    values = json.loads((path / "generation_config.json").read_text())
    (path / "generation_config.json").write_text(json.dumps(values | {"eos_token_id": 7}))
    reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    assert f"an answer does not end at [{tokenizer.eos_id}], which end it in training" in reasons
    assert "an answer ends at [7], which are tokens of text" in reasons


def test_two_swapped_vocabulary_entries_fail(stablelm, tokenizer, chat, probe, tmp_path):
    first, second = tokenizer.encode("e")[0], tokenizer.encode("n")[0]
    path = write("llama.cpp", stablelm, tokenizer, tmp_path / "names")
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(path, "r+")
    field = reader.fields["tokenizer.ggml.tokens"]
    letters = [field.parts[field.data[id_]] for id_ in (first, second)]
    assert [bytes(one) for one in letters] == [b"e", b"n"]
    letters[0][0], letters[1][0] = ord("n"), ord("e")
    reader.data.flush()
    try:
        reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    except ArtifactError as error:
        reasons = [str(error)]  # merges that name no token may keep it from loading at all
    assert reasons


@pytest.mark.parametrize("dtype", ["F32", "Q4_0"])
def test_two_swapped_rows_of_the_embedding_fail_by_their_weights(stablelm, tokenizer, chat, probe, tmp_path, dtype):
    first, second = tokenizer.encode("e")[0], tokenizer.encode("n")[0]
    state = with_swapped(stablelm.state, "embedding.weight", first, second, 1)
    path = write("llama.cpp", stablelm, tokenizer, tmp_path, state=state)
    reasons = look_at(path, stablelm, tokenizer, chat, probe, dtype=dtype)["reasons"]
    assert any(f"embedding.weight, row {row} is off" in reason for row in (first, second) for reason in reasons)


def test_weights_that_are_no_numbers_fail(stablelm, tokenizer, chat, probe, tmp_path):
    state = stablelm.state | {"norm.weight": torch.full_like(stablelm.state["norm.weight"], float("nan"))}
    path = write("transformers", stablelm, tokenizer, tmp_path, state=state)
    reasons = look_at(path, stablelm, tokenizer, chat, probe)["reasons"]
    assert any("KL divergence, mean: nan nats" in reason for reason in reasons)
    assert any("norm.weight, row 0 is off by inf" in reason for reason in reasons)


def test_conversations_that_are_all_refused_certify_no_template(stablelm, tokenizer, probe, tmp_path):
    refusing = ChatFormat(
        ChatTemplate(
            "{{ raise_exception('no system') if messages[0]['role'] == 'system' }}" + TEMPLATE, "test", datetime(2026, 1, 1)
        ),
        tokenizer,
    )
    path = write("transformers", stablelm, tokenizer, tmp_path, template="Something else.")
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "So?"}]
    found = look_at(path, stablelm, tokenizer, refusing, replace(probe, conversations=[talk]))
    assert found["conversations"]["compared"] == 0
    assert found["reasons"] == ["training's chat template refuses every conversation that was tried, so none was compared"]


SPOKEN = (
    "{% for m in messages %}{{ m['role'] }}:\n{{ m['content'] }}</s>\n{% endfor %}{{ 'assistant:\n' if add_generation_prompt }}"
)


@pytest.fixture(scope="module")
def spoken(pieces):
    return ChatFormat(ChatTemplate(SPOKEN, "test", datetime(2026, 1, 1)), pieces)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sentencepiece_is_read_alike_and_only_llama_cpps_space_in_conversations_is_known(
    runtime, llama, pieces, spoken, probe, tmp_path
):
    path = write(runtime, llama, pieces, tmp_path, template=SPOKEN)
    found = look_at(path, llama, pieces, spoken, probe)
    assert found["reasons"] == []
    assert found["strings"]["equal"] == found["strings"]["compared"] >= 1000
    talks = found["conversations"]
    assert (talks["equal"], talks["known_otherwise"]) == ((2, 0) if runtime == "transformers" else (0, 2))


def other_pieces(pieces, fault):
    """A vocabulary that is not the checkpoint's: the spelling of two pieces exchanged, or pieces in another order of merit."""
    model = pieces._model
    changed = list(model.pieces)
    if fault == "two pieces exchanged":
        first, second = (next(id_ for id_, piece in enumerate(changed) if piece.text == text) for text in ("e", "n"))
        changed[first], changed[second] = replace(changed[first], text="n"), replace(changed[second], text="e")
    else:
        normal = [id_ for id_, piece in enumerate(changed) if piece.kind == "normal" and len(piece.text) > 1]
        for id_, other in zip(normal, reversed(normal), strict=True):
            changed[id_] = replace(model.pieces[id_], score=model.pieces[other].score)
    named = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": None}
    files = {"tokenizer.model": piece_model_bytes(replace(model, pieces=tuple(changed)), named)}
    return SentencePieceTokenizer(ImportedFiles("sentencepiece", files))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("fault", ["two pieces exchanged", "scores the other way round"])
def test_another_sentencepiece_vocabulary_fails(runtime, fault, llama, pieces, spoken, probe, tmp_path):
    path = write(runtime, llama, other_pieces(pieces, fault), tmp_path, template=SPOKEN)
    reasons = look_at(path, llama, pieces, spoken, probe)["reasons"]
    assert any("strings get other ids" in reason for reason in reasons)
    # No letter of the conversations is a piece by itself.
    assert any("conversations get other ids" in reason for reason in reasons) == (fault == "scores the other way round")


def test_transformers_own_reading_of_a_sentencepiece_model_fails(llama, pieces, spoken, probe, tmp_path):
    path = write("transformers", llama, pieces, tmp_path, template=SPOKEN)
    (path / "tokenizer.json").unlink()
    values = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps(values | {"tokenizer_class": "LlamaTokenizer"}))
    reasons = look_at(path, llama, pieces, spoken, probe)["reasons"]
    # Of this vocabulary one string in a hundred, all of which begin with a blank.
    assert len(reasons) == 1
    assert " strings get other ids: ' '" in reasons[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_another_template_with_sentencepiece_fails(runtime, llama, pieces, spoken, probe, tmp_path):
    path = write(runtime, llama, pieces, tmp_path / "none", template=None)
    reasons = look_at(path, llama, pieces, spoken, probe)["reasons"]
    assert reasons == ["it brings no chat template, and the model was trained with one"]
    newline = "{{ 'assistant:\n' if add_generation_prompt }}"
    for number, other in enumerate(("assistant:", " assistant:\n", "assistant:\n\n")):
        template = SPOKEN.replace(newline, newline.replace("assistant:\n", other))
        path = write(runtime, llama, pieces, tmp_path / str(number), template=template)
        reasons = look_at(path, llama, pieces, spoken, probe)["reasons"]
        assert len(reasons) == 1
        assert reasons[0].startswith("2 of 2 conversations get other ids")


def test_equal_ids_of_too_few_strings_fail_though_all_others_are_known(stablelm, tokenizer, chat, probe, tmp_path):
    path = write("transformers", stablelm, tokenizer, tmp_path)
    values = json.loads((path / "tokenizer.json").read_text())
    values["model"]["merges"] = values["model"]["merges"][: len(values["model"]["merges"]) // 2]
    (path / "tokenizer.json").write_text(json.dumps(values))
    what = Exported(path, "float32", 64, 608, frozenset(tokenizer.special.values()), known_strings=lambda *_: True)
    with TransformersRuntime(path) as runtime:
        found = certify(runtime, DecoderRuntime(stablelm.model, tokenizer, chat), probe, what)
    equal = found["strings"]["equal"]
    assert 0 < equal < 0.9 * len(probe.strings)
    assert f"{equal} of {len(probe.strings)} strings get equal ids, least 90%" in found["reasons"]


def test_a_repeated_certificate_holds_and_another_model_is_told(stablelm, tokenizer, chat, probe, tmp_path):
    path = write("llama.cpp", stablelm, tokenizer, tmp_path, dtype="F16")
    recorded = json.loads(json.dumps(look_at(path, stablelm, tokenizer, chat, probe, dtype="F16")))
    again = look_at(path, stablelm, tokenizer, chat, probe, dtype="F16")
    assert differences(recorded, again) == []
    # As certificates were recorded before shapes, added tokens and types of tensors were looked at.
    weights = {name: recorded["weights"][name] for name in ("tensors", "largest_row_error", "tensor", "row")}
    earlier = {name: value for name, value in recorded.items() if name not in ("shape", "adds")} | {"weights": weights}
    assert differences(earlier, again) == []
    state = stablelm.state | {"norm.weight": stablelm.state["norm.weight"] * 1.2}
    path = write("llama.cpp", stablelm, tokenizer, tmp_path, state=state, dtype="F16")
    lines = differences(recorded, look_at(path, stablelm, tokenizer, chat, probe, dtype="F16"))
    assert any(line.startswith("it does not pass now: KL divergence") for line in lines)
    assert any(line.startswith("distributions.kl_nats.mean: ") for line in lines)


def test_documents_without_text_are_refused(stablelm, tokenizer, chat, tmp_path):
    path = write("llama.cpp", stablelm, tokenizer, tmp_path)
    with pytest.raises(ArtifactError, match="nothing to compare distributions on"):
        look_at(path, stablelm, tokenizer, chat, Probe(["a"], [""]))


def test_other_vocabularies_get_the_same_ids_in_llama_cpp_on_every_string(llama, pieces, published, probe, tmp_path):
    for number, tokenizer in enumerate((pieces, published)):
        path = write("llama.cpp", llama, tokenizer, tmp_path / str(number), template=None)
        with LlamaCppRuntime(path, 64) as runtime:
            assert [text for text in probe.strings if runtime.encode(text) != list(tokenizer.encode(text))] == []
        folder = write("transformers", llama, tokenizer, tmp_path / f"hf{number}", template=None)
        with TransformersRuntime(folder) as runtime:
            assert [text for text in probe.strings if runtime.encode(text) != list(tokenizer.encode(text))] == []
