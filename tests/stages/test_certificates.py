import importlib
import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from pellucid.checkpoint.models import load_model
from pellucid.core.artifacts import Key, read_manifest, seal
from pellucid.export.certificate import changed_files, file_facts
from pellucid.export.gguf import write_gguf
from pellucid.export.hf import ChatExport, write_hf
from pellucid.model.decoder import Decoder
from pellucid.stages.certificates import Certifier, certifier_of, repeat_certificates
from pellucid.stages.formats import Planned, Source, write_export
from pellucid.stages.run_folder import final_checkpoint, open_recipe
from pellucid.stages.verify import verify_run
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

HF = Planned("hf", "hf", "float32", "hf")


def opened(run: Path) -> tuple[Decoder, Tokenizer]:
    model, _ = load_model(final_checkpoint(run, open_recipe(run).train[-1]))
    return model.eval(), load_tokenizer(run / "tokenizer")


def seal_again(exports: Path) -> None:
    """Give altered exports a manifest that agrees with them."""
    manifest = read_manifest(exports)
    seal(
        exports,
        Key(manifest.kind, manifest.schema_version, manifest.seed, manifest.config, manifest.inputs),
        summary={},
        started=0.0,
    )


def permuted_heads(model: Decoder) -> dict[str, torch.Tensor]:
    """The first two heads of one layer change places, in the queries alone."""
    state, size = dict(model.state_dict()), model.config.head_channels
    weight = state["blocks.1.attention.query.weight"].clone()
    weight[:size], weight[size : 2 * size] = weight[size : 2 * size].clone(), weight[:size].clone()
    return {**state, "blocks.1.attention.query.weight": weight}


def test_a_run_holds_when_its_exports_are_opened_again(run_copy: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    opened_again, faults = repeat_certificates(run_copy)
    assert faults == []
    assert [line.split()[0] for line in opened_again] == [
        "exports/hf",
        "exports/gguf/model-F16.gguf",
        "exports/gguf/model-Q8_0.gguf",
    ]


@pytest.mark.parametrize("place", ["hf/model.safetensors", "gguf/model-Q8_0.gguf"])
def test_one_flipped_byte_does_not_hold_though_the_manifest_was_made_anew(run_copy: Path, place: str) -> None:
    file = run_copy / "exports" / place
    whole = bytearray(file.read_bytes())
    whole[-1000] ^= 1
    file.write_bytes(whole)
    seal_again(run_copy / "exports")
    told = {one.name: one.faults for one in verify_run(run_copy).checks}
    assert told["files"] == []
    assert len(told["exports"]) == 1 and f"{file.name} is not the file that was certified" in told["exports"][0]


def test_permuted_heads_do_not_hold_though_manifest_and_digests_were_made_anew(run_copy: Path) -> None:
    """Who has rewritten an export and all digests of it: only the model itself tells."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    model, tokenizer = opened(run_copy)
    recipe, exports = open_recipe(run_copy), run_copy / "exports"
    chat = certifier_of(recipe, run_copy, model, tokenizer).chat
    assert chat is not None
    told, wrong = ChatExport(chat.exported, chat.stop_ids), permuted_heads(model)
    shutil.rmtree(exports / "hf")
    write_hf(wrong, recipe.model, tokenizer, exports / "hf", chat=told)
    write_gguf(wrong, recipe.model, tokenizer, exports / "gguf/model-Q8_0.gguf", dtype="Q8_0", name=recipe.name, chat=told)
    written = json.loads((exports / "export.json").read_text())
    for entry in written["formats"].values():
        path = exports / entry["place"]
        if changed_files(entry["certificate"], path):
            entry["certificate"] |= file_facts(path)
    (exports / "export.json").write_text(json.dumps(written))
    seal_again(exports)
    told = {one.name: one.faults for one in verify_run(run_copy).checks}
    assert told["files"] == told["exports"] == []
    # The manifest is not the one that the ledger and the report know; they could be made anew as well.
    assert any("exports/manifest.json is not the one that the ledger's last end names" in line for line in told["ledger"])
    opened_again, faults = repeat_certificates(run_copy)
    assert len(opened_again) == 3
    for place in ("hf", "gguf/model-Q8_0.gguf"):
        lines = [fault for fault in faults if fault.startswith(f"{exports / place}: ")]
        assert any("blocks.1.attention.query.weight, row" in line and "is off by" in line for line in lines), lines
    assert not [fault for fault in faults if "F16" in fault]


def test_a_file_that_its_runtime_does_not_open_is_a_fault_and_the_others_are_still_opened(run_copy: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    (run_copy / "exports/hf/model.safetensors").write_bytes(b"no weights")
    opened_again, faults = repeat_certificates(run_copy)
    assert len(opened_again) == 2 and len(faults) == 1 and faults[0].startswith(f"{run_copy / 'exports/hf'}: ")


def test_without_transformers_the_folder_is_read_back_and_the_certificate_names_what_opened_it(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    certifier = certifier_of(open_recipe(finished_run), finished_run, *opened(finished_run))
    certificate = certifier.certify(HF, finished_run / "exports/hf")
    assert certificate["passed"], certificate["reasons"]
    assert certificate["runtime"] == "Pellucid" and certificate["strings"]["compared"] >= 1000


def test_a_run_that_holds_nothing_out_is_compared_on_texts_of_the_package(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    shutil.copytree(finished_run / "tokenizer", tmp_path / "tokenizer")
    certifier = certifier_of(open_recipe(finished_run), tmp_path, *opened(finished_run))
    certificate = certifier.certify(HF, finished_run / "exports/hf")
    assert certificate["passed"] and certificate["questions"] is None and certificate["distributions"]["positions"] == 1024


def test_the_checkpoints_own_answers_are_computed_once_for_all_exports(finished_run: Path) -> None:
    """With its weights gone the checkpoint still answers as before, so that a second export is compared with the same."""
    pytest.importorskip("transformers")
    model, tokenizer = opened(finished_run)
    certifier = certifier_of(open_recipe(finished_run), finished_run, model, tokenizer)
    first = certifier.certify(HF, finished_run / "exports/hf")
    with torch.no_grad():
        model.norm.weight.zero_()  # type: ignore[union-attr, operator]
    second = certifier.certify(HF, finished_run / "exports/hf")
    assert second["distributions"] == first["distributions"] and not second["passed"]
    assert "norm.weight" in second["reasons"][0]


class Case(NamedTuple):
    """A format and type: what it needs, and the tensor, of layer 1, of which a byte is flipped."""

    type: str
    needs: tuple[str, ...]
    flipped: str


QUERY = "model.layers.1.self_attn.q_proj"
TRANSFORMERS = ("transformers", "accelerate")
CASES = {
    "mlx-fp16": Case("fp16", ("mlx_lm",), f"{QUERY}.weight"),
    "mlx-int4": Case("int4", ("mlx_lm",), f"{QUERY}.scales"),
    "openvino-fp16": Case("fp16", ("openvino", "transformers"), "blocks.1.attention.query.weight_compressed"),
    "openvino-int4": Case("int4", ("openvino", "nncf", "transformers"), "blocks.1.attention.query.weight/scale"),
    "torchao-int8": Case("int8", ("torchao", *TRANSFORMERS), f"{QUERY}._weight_scale"),
    "torchao-int4": Case("int4", ("torchao", *TRANSFORMERS), f"{QUERY}._weight_scale"),
    "bitsandbytes-int8": Case("int8", ("bitsandbytes", *TRANSFORMERS), f"{QUERY}.SCB"),
}


def planned(name: str) -> Planned:
    return Planned(name, name.split("-")[0], CASES[name].type, name)


class Exporter(NamedTuple):
    """The finished run's model, and a certifier of it that has its own answers at hand."""

    model: Decoder
    tokenizer: Tokenizer
    certifier: Certifier

    def write(self, name: str, state: Mapping[str, torch.Tensor], folder: Path) -> Path:
        case, chat = CASES[name], self.certifier.chat
        for package in case.needs:
            pytest.importorskip(package)
        assert chat is not None
        told = ChatExport(chat.exported, chat.stop_ids)
        write_export(planned(name), folder / name, Source(state, self.model.config, self.tokenizer, "pocket", told))
        return folder / name

    def certify(self, path: Path) -> dict[str, Any]:
        return self.certifier.certify(planned(path.name), path)


@pytest.fixture(scope="module")
def exporter(finished_run: Path) -> Exporter:
    model, tokenizer = opened(finished_run)
    recipe = open_recipe(finished_run)
    # Few tokens: MLX with 4 bits is slow on a CPU, and here it is the weights that tell.
    few = recipe.export.certificate.model_copy(update={"tokens": 128, "questions": 0})
    recipe = recipe.model_copy(update={"export": recipe.export.model_copy(update={"certificate": few})})
    return Exporter(model, tokenizer, certifier_of(recipe, finished_run, model, tokenizer))


@pytest.fixture(scope="module", params=CASES)
def faithful(request: pytest.FixtureRequest, exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exporter.write(request.param, exporter.model.state_dict(), tmp_path_factory.mktemp("faithful"))


def flip(folder: Path) -> None:
    """Flip the last byte of a tensor's first number, sign and exponent."""
    name = CASES[folder.name].flipped
    if folder.name.startswith("openvino"):
        file = folder / "openvino_model.bin"
        graph = importlib.import_module("openvino").Core().read_model(folder / "openvino_model.xml")
        (constant,) = (node for node in graph.get_ops() if node.get_friendly_name() == name)
        whole, item = bytearray(file.read_bytes()), constant.data.itemsize
        place = whole.index(constant.data.tobytes())
        del graph, constant
    else:
        file = folder / "model.safetensors"
        whole = bytearray(file.read_bytes())
        (length,) = struct.unpack("<Q", whole[:8])
        entry = json.loads(whole[8 : 8 + length])[name]
        place, item = 8 + length + entry["data_offsets"][0], int(entry["dtype"].lstrip("BF")) // 8
    whole[place + item - 1] ^= 0xFF
    file.write_bytes(whole)


@pytest.mark.slow
def test_a_faithful_export_passes_and_every_weight_of_it_was_compared(exporter: Exporter, faithful: Path) -> None:
    certificate = exporter.certify(faithful)
    assert certificate["passed"], certificate["reasons"]
    weights = certificate["weights"]
    assert weights["tensors"] >= len(exporter.model.state_dict())
    assert 0 < weights["largest_row_error"] < 0.5 * weights["limit"]
    assert certificate["shape"] == []


@pytest.mark.slow
def test_one_flipped_byte_of_a_scale_fails(exporter: Exporter, faithful: Path, tmp_path: Path) -> None:
    altered = shutil.copytree(faithful, tmp_path / faithful.name)
    flip(altered)
    reasons = exporter.certify(altered)["reasons"]
    assert any("blocks.1.attention.query.weight, row 0 is off" in reason for reason in reasons), reasons


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_exchanged_heads_of_one_layer_fail(exporter: Exporter, name: str, tmp_path: Path) -> None:
    path = exporter.write(name, permuted_heads(exporter.model), tmp_path)
    reasons = exporter.certify(path)["reasons"]
    assert any("blocks.1.attention.query.weight, row" in reason for reason in reasons), reasons


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_swapped_rows_of_the_embedding_fail(exporter: Exporter, name: str, tmp_path: Path) -> None:
    state, rows = dict(exporter.model.state_dict()), [exporter.tokenizer.encode(letter)[0] for letter in "en"]
    state["embedding.weight"] = state["embedding.weight"].clone()
    state["embedding.weight"][rows] = state["embedding.weight"][rows[::-1]]
    reasons = exporter.certify(exporter.write(name, state, tmp_path))["reasons"]
    assert any(f"embedding.weight, row {row} is off" in reason for row in rows for reason in reasons), reasons
