import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pellucid.checkpoint.models import load_model
from pellucid.cli.main import main
from pellucid.core.artifacts import read_manifest
from pellucid.model.hf_names import to_hf


def test_both_exports_were_opened_in_their_runtimes_and_agree(finished_run: Path) -> None:
    formats = json.loads((finished_run / "exports" / "export.json").read_text())["formats"]
    assert formats.keys() == {"hf", "gguf"}
    assert "transformers" in formats["hf"]["loaded_with"]
    assert "llama.cpp" in formats["gguf"]["loaded_with"]
    for check in formats.values():
        assert check["largest_logit_difference"] <= check["limit"]
        assert check["texts_with_equal_ids"] >= 200
        assert check["bytes"] > 0


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
        assert formats.keys() == {"peft", "gguf"}
        assert formats["peft"]["loaded_with"].startswith("peft ")
        assert formats["peft"]["largest_logit_difference"] <= formats["peft"]["limit"] == 1e-4
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
