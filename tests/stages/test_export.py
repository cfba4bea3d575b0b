import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import main
from pellucid.core.artifacts import read_manifest
from pellucid.export.certificate import changed_files
from pellucid.export.gguf import write_gguf
from pellucid.model.hf_names import to_hf
from pellucid.recipe.model import ModelConfig
from pellucid.stages.certificates import repeat_certificates
from pellucid.stages.run_folder import final_checkpoint, open_recipe
from pellucid.stages.subjects import load_step


def test_every_export_was_opened_in_its_runtime_and_certified(finished_run: Path) -> None:
    pytest.importorskip("transformers")
    exports = finished_run / "exports"
    written = json.loads((exports / "export.json").read_text())
    step = load_step(final_checkpoint(finished_run, open_recipe(finished_run).train[-1]))
    assert written["checkpoint_step"] == step
    runtimes = {name: entry["certificate"]["runtime"] for name, entry in written["formats"].items()}
    assert runtimes == {"hf": "transformers", "gguf-F16": "llama.cpp", "gguf-Q8_0": "llama.cpp"}
    for name, entry in written["formats"].items():
        certificate = entry["certificate"]
        assert certificate["passed"] and certificate["reasons"] == []
        assert certificate["strings"]["equal"] == certificate["strings"]["compared"] >= 1000
        assert certificate["conversations"]["equal"] == certificate["conversations"]["compared"] > 30
        assert certificate["distributions"]["positions"] == 1024 and certificate["questions"]["questions"] == 8
        assert changed_files(certificate, exports / entry["place"]) == []
        assert entry["facts"]["bytes"] == certificate["bytes"] > 0, name
    kl = {name: entry["certificate"]["distributions"]["kl_nats"]["mean"] for name, entry in written["formats"].items()}
    assert kl["hf"] < 1e-8 and kl["gguf-F16"] < 1e-6 < kl["gguf-Q8_0"] < 1e-3


def test_an_export_that_is_not_the_checkpoint_stops_the_stage_and_is_named(
    run_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A writer with a fault: in one layer it swaps the first two heads of the queries."""
    pytest.importorskip("xllamacpp")

    def with_a_fault(state: dict[str, torch.Tensor], config: ModelConfig, *rest: Any, **named: Any) -> Any:
        name, size = "blocks.1.attention.query.weight", config.head_channels
        first, second, others = state[name].split([size, size, config.hidden - 2 * size])
        return write_gguf({**state, name: torch.cat([second, first, others])}, config, *rest, **named)

    monkeypatch.setattr("pellucid.stages.formats.write_gguf", with_a_fault)
    recipe = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
    overrides = ("--set", "export.formats=[gguf]", "--set", "export.gguf_types=[BF16]")
    assert main(["export", str(recipe), "--runs", str(run_copy.parent), *overrides]) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert "export gguf-BF16: the BF16 export is not the checkpoint in llama.cpp: " in error
    assert "blocks.1.attention.query.weight, row" in error and "is off by" in error


def test_a_stage_of_adapters_is_exported_for_peft_merged_for_the_others_and_gone_on_from(run_copy: Path, tmp_path: Path) -> None:
    """Further stages beside the finished one, its folder of another name: what it began with is exported from it."""
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    recipe, smoke = tmp_path / "tune.yaml", Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
    recipe.write_text(
        f"extends: {smoke}\nname: pocket-smoke\nexport: {{formats: [peft, gguf]}}\n"
        "train:\n  tune:\n    {length_tokens: 4096, batch_tokens: 1024, seq_tokens: 128, micro_seqs: 8,\n"
        "     schedule: {peak_lr: 1e-2}, optimizer: {kind: adamw},\n"
        "     adapter: {rank: 4, quantize: nf4, targets: [query, value, up]}}\n"
    )

    def run(*overrides: str) -> dict[str, Any]:
        for stage in ("train", "export"):
            assert main([stage, str(recipe), "--runs", str(run_copy.parent), *overrides]) == 0
        formats = json.loads((run_copy / "exports" / "export.json").read_text())["formats"]
        assert formats.keys() == {"peft", "gguf-F16", "gguf-Q8_0"}
        found = formats["peft"]["facts"]
        assert found["loaded_with"].startswith("peft ") and formats["peft"]["certificate"] is None
        assert found["largest_logit_difference"] <= found["limit"] == 1e-4 and found["bytes"] > 0
        return dict(formats)

    run()
    folder = run_copy / "exports" / "peft"
    below = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(below, folder).merge_and_unload().state_dict()
    ours, _ = load_model(run_copy / "tune/checkpoints/step-00000004")
    assert all(torch.equal(tensor, merged[name]) for name, tensor in to_hf(ours.state_dict(), ours.config).items())

    kept = folder.rename(tmp_path / "kept")
    began = load_file(kept / "adapter_model.safetensors")
    own = {"init_from": str(kept / "base"), "adapter.init_from": str(kept), "adapter.quantize": "none", "schedule.peak_lr": "1e-30"}
    run(*(part for name, value in own.items() for part in ("--set", f"train.tune.{name}={value}")))
    assert not (folder / "base").exists(), "the recipe names the weights below"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(kept / "base")
    ended = load_file(folder / "adapter_model.safetensors")
    assert all(torch.equal(tensor, ended[name]) for name, tensor in began.items())
    assert read_manifest(run_copy / "tune").inputs.keys() == {"tokenizer", "shards", "init_from", "adapter"}


@pytest.mark.slow
def test_the_formats_of_other_runtimes_are_certified_and_hold_when_they_are_opened_again(run_copy: Path) -> None:
    for package in ("mlx_lm", "openvino", "nncf", "torchao", "bitsandbytes"):
        pytest.importorskip(package)
    recipe = Path(__file__).parents[2] / "recipes" / "pocket-smoke.yaml"
    config = {"formats": "[mlx, openvino, torchao, bitsandbytes]", "openvino_types": "[int4]", "certificate.tokens": "256"}
    overrides = [part for name, value in config.items() for part in ("--set", f"export.{name}={value}")]
    assert main(["export", str(recipe), "--runs", str(run_copy.parent), *overrides]) == 0
    formats = json.loads((run_copy / "exports" / "export.json").read_text())["formats"]
    runtimes = {name: entry["certificate"]["runtime"] for name, entry in formats.items()}
    others = {"torchao-int8": "transformers", "bitsandbytes-int8": "transformers"}
    assert runtimes == {"mlx-fp16": "MLX", "openvino-int4": "OpenVINO", **others}
    for entry in formats.values():
        assert entry["certificate"]["passed"] and entry["certificate"]["distributions"]["positions"] == 256
        assert entry["certificate"]["strings"]["equal"] == entry["certificate"]["strings"]["compared"] >= 1000
    opened, faults = repeat_certificates(run_copy)
    assert faults == [] and len(opened) == 4
