"""Every program that steps, against our own decoder, which computes each token from the whole sequence."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from pellucid.export.gguf import write_gguf
from pellucid.export.hf import write_hf
from pellucid.export.mlx import write_mlx
from pellucid.export.openvino import write_openvino
from pellucid.export.runtimes.hf import TransformersRuntime
from pellucid.export.runtimes.llama_library import LlamaLibrary
from pellucid.export.runtimes.mlx import MlxRuntime
from pellucid.export.runtimes.openvino import EXACT, OpenVinoRuntime
from pellucid.export.runtimes.stepping import Stepped
from pellucid.model.decoder import Decoder

Steps = Callable[[Sequence[Sequence[int]], int], Stepped]


def transformers(source: Any, tokenizer: Any, folder: Path) -> Steps:
    write_hf(source.state, source.config, tokenizer, folder)
    return TransformersRuntime(folder).steps


def llama_cpp(source: Any, tokenizer: Any, folder: Path) -> Steps:
    write_gguf(source.state, source.config, tokenizer, folder / "model.gguf", dtype="F32", name="t")
    return partial(LlamaLibrary(folder / "model.gguf").steps, threads=1)


def openvino(source: Any, tokenizer: Any, folder: Path) -> Steps:
    write_openvino(source.state, source.config, tokenizer, folder, type="fp16")
    return OpenVinoRuntime(folder, EXACT).steps


def mlx(source: Any, tokenizer: Any, folder: Path) -> Steps:
    write_mlx(source.state, source.config, tokenizer, folder, type="fp16")
    return MlxRuntime(folder).steps


def greedy(model: Decoder, ids: Sequence[int], new_tokens: int) -> tuple[list[int], float]:
    """The likeliest tokens after a prompt, and by how much the closest choice was decided."""
    found, closest = list(ids), float("inf")
    for _ in range(new_tokens):
        with torch.no_grad():
            first, second = model.logits(model(torch.tensor([found])))[0, -1].topk(2).values.tolist()
            found.append(int(model.logits(model(torch.tensor([found])))[0, -1].argmax()))
        closest = min(closest, first - second)
    return found[len(ids) :], closest


@pytest.mark.parametrize("program", [transformers, llama_cpp, openvino, mlx])
def test_sequences_go_on_as_each_alone_and_again_after_another_call(
    program: Any, stablelm: Any, tokenizer: Any, tmp_path: Path
) -> None:
    package = {transformers: "transformers", llama_cpp: "xllamacpp", openvino: "openvino", mlx: "mlx_lm"}[program]
    pytest.importorskip(package)
    steps = program(stablelm, tokenizer, tmp_path)
    ids = tokenizer.encode("The river had frozen early that year, and nobody in the valley could say what it would bring them.")
    windows = [ids[start : start + 9] for start in range(len(ids) - 9)]
    alone = {tuple(one): greedy(stablelm.model, one, 6) for one in windows}
    # Weights and caches in float16 may decide otherwise what is as good as a draw.
    prompts = [one for one in windows if alone[tuple(one)][1] > 0.02][:3]
    expected = [alone[tuple(one)][0] for one in prompts]
    assert len({tuple(new) for new in expected}) == 3
    found = steps(prompts, 6)
    assert found.new == expected
    assert steps(prompts[1:2], 6).new == expected[1:2]
    assert steps(prompts, 6).new == found.new
    assert len(found.at_s) == 6 and found.at_s[0] > 0 and all(before < after for before, after in pairwise(found.at_s))


def test_an_end_of_text_ends_nothing(stablelm: Any, tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = Decoder(stablelm.config)
    model.load_state_dict(stablelm.state)
    assert model.head is not None
    with torch.no_grad():
        # Every logit but the end of text's is the same: it is the likeliest, always, as soon as its own is positive somewhere.
        model.norm.weight.zero_()
        model.norm.bias.fill_(1.0)
        model.head.weight.zero_()
        model.head.weight[tokenizer.eos_id] = 1.0
    source = type(stablelm)(model)
    assert transformers(source, tokenizer, tmp_path)([[5, 6, 7]], 4).new == [[tokenizer.eos_id] * 4]
    assert llama_cpp(source, tokenizer, tmp_path)([[5, 6, 7]], 4).new == [[tokenizer.eos_id] * 4]
