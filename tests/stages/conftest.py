"""ChatML written by hand: what a chat format has to be able to do, in a few lines; copies of a finished study."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from pellucid.generate.batched import Completer
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe


class Ids(NamedTuple):
    ids: list[int]
    targets: list[bool]


class ChatML:
    template = "chatml by hand"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._start, self._end = (tokenizer.special[name] for name in ("<|im_start|>", "<|im_end|>"))
        self.stop_ids = (tokenizer.eos_id, self._end)

    def encode(self, messages: Sequence[Mapping[str, str]], *, last_only: bool = False, assistant: str = "assistant") -> Ids:
        found = Ids([], [])
        for message in messages:
            said = [*self._tokenizer.encode(message["content"]), self._end]
            for part, target in ((self._header(message["role"], assistant), False), (said, message["role"] == "assistant")):
                found.ids.extend(part)
                found.targets.extend([target] * len(part))
            found.ids.extend(self._tokenizer.encode("\n"))
            found.targets.append(False)
        return found

    def prompt(self, messages: Sequence[Mapping[str, str]], *, assistant: str = "assistant") -> list[int]:
        return [*self.encode(messages).ids, *self._header("assistant", assistant)]

    def _header(self, role: str, assistant: str) -> list[int]:
        if role == "assistant" and assistant in self._tokenizer.special:
            return [self._start, self._tokenizer.special[assistant], *self._tokenizer.encode("\n")]
        return [self._start, *self._tokenizer.encode(f"{assistant if role == 'assistant' else role}\n")]


@pytest.fixture(scope="session")
def tokenizer() -> BytePairTokenizer:
    """A vocabulary of a thousand tokens, learnt from the recipes: what they say of themselves among it."""
    files = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
    return train_bpe([file.read_text(encoding="utf-8") for file in files], 1024)


@pytest.fixture(scope="session")
def chatml(tokenizer: BytePairTokenizer) -> ChatML:
    return ChatML(tokenizer)


@pytest.fixture(scope="session")
def babbler(tokenizer: BytePairTokenizer) -> Completer:
    """A decoder whose last norm is made constant, so that it babbles: words at random, an end now and then, and every fault."""
    shape = ModelConfig(
        vocab_tokens=tokenizer.vocab_tokens + 5, context_tokens=200, layers=1, hidden=8, heads=1, kv_heads=1, mlp_hidden=8,
        norm="layernorm", norm_bias=True, rotary_frac=1.0, qkv_bias=False, tied_head=False,
    )  # fmt: skip
    model = Decoder(shape)
    init_weights(model, 1)
    words = tokenizer.encode(" how does the model of a small language learn from text")
    weights = dict.fromkeys(words, 1.0) | {tokenizer.encode("\n")[0]: 2.0, tokenizer.special["<|im_end|>"]: 5.0}
    weights |= {tokenizer.special["<|fim_pad|>"]: 0.5, tokenizer.encode("é")[0]: 0.5, tokenizer.vocab_tokens + 2: 0.5}
    with torch.no_grad():
        model.norm.weight.zero_()  # type: ignore[union-attr, operator]
        model.norm.bias.copy_(torch.eye(8)[0])  # type: ignore[union-attr, operator, arg-type]
        assert model.head is not None
        model.head.weight[:, 0] = -30.0
        for id_, weight in weights.items():
            model.head.weight[id_, 0] = torch.tensor(weight).log()
    return Completer(model, 32)


@pytest.fixture
def new_study(finished_study: Path) -> Iterator[Path]:
    """Where a study like the finished one would lie, its file and its base beside it. As deep as that one: sources are relative."""
    folder = Path(tempfile.mkdtemp(dir=finished_study.parent.parent, prefix="study-"))
    for name in ("base.yaml", "study.yaml"):
        shutil.copy(finished_study.parent / name, folder / name)
    yield folder / "study"
    shutil.rmtree(folder)


@pytest.fixture
def study_copy(finished_study: Path, new_study: Path) -> Path:
    """A copy of the finished study that a test may change."""
    shutil.copytree(finished_study, new_study)
    return new_study
