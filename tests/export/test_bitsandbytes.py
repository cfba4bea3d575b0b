import pytest
import torch
from safetensors.torch import load_file

from pellucid.export.bitsandbytes import write_llm_int8
from pellucid.model.hf_names import to_hf

transformers = pytest.importorskip("transformers")
pytest.importorskip("bitsandbytes")
pytest.importorskip("accelerate")

IDS = torch.randint(0, 600, (1, 60), generator=torch.Generator().manual_seed(1))


def kl(model, folder):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", local_files_only=True)
    with torch.inference_mode():
        ours_TV = torch.log_softmax(model.logits(model(IDS))[0].double(), -1)
        theirs_TV = torch.log_softmax(theirs(IDS).logits[0].double(), -1)
    return float((ours_TV.exp() * (ours_TV - theirs_TV)).sum(-1).mean())


def test_transformers_loads_it_and_computes_nearly_what_the_checkpoint_does(llama, stablelm, tokenizer, tmp_path):
    for name, trained in (("llama", llama), ("stablelm", stablelm)):
        facts = write_llm_int8(trained.state, trained.config, tokenizer, tmp_path / name)
        assert kl(trained.model, tmp_path / name) < 2e-3
        assert facts["quantised_matrices"] == 14
        assert [case["tensor"] for case in facts["kept"]] == ["model.embed_tokens.weight", "lm_head.weight"]


def test_the_integers_are_those_of_the_papers_formula(stablelm, tokenizer, tmp_path):
    write_llm_int8(stablelm.state, stablelm.config, tokenizer, tmp_path)
    written, compared = load_file(tmp_path / "model.safetensors"), 0
    for name, tensor in to_hf(stablelm.state, stablelm.config).items():
        if name.endswith("_proj.weight"):
            # Through bfloat16, as the folder is, and float16, in which bitsandbytes quantises.
            rows = tensor.bfloat16().half().float()
            largest_R = rows.abs().amax(1)
            torch.testing.assert_close(written[name.replace(".weight", ".SCB")], largest_R)
            exact = rows * (127 / largest_R[:, None])
            assert written[name].dtype == torch.int8
            assert bool(((written[name].float() - exact).abs() <= 0.5 + 1e-4).all()), name
            compared += 1
    assert compared == 14


def test_heads_in_another_order_are_seen(llama, tokenizer, tmp_path):
    write_llm_int8(llama.heads_flipped(), llama.config, tokenizer, tmp_path)
    assert kl(llama.model, tmp_path) > 2e-3
