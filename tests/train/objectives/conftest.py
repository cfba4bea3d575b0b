"""The same tiny Llama twice, in transformers for TRL and as our decoder, and made-up preference pairs for both."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid.model.decoder import Decoder
from pellucid.model.hf_names import from_hf
from pellucid.recipe.model import ModelConfig
from pellucid.train.feed import MicroBatch, ObjectiveLoss

VOCAB = 60
CONFIG = ModelConfig(
    vocab_tokens=VOCAB, context_tokens=128, layers=2, hidden=32, heads=4, kv_heads=2, mlp_hidden=48, norm="rmsnorm",
    norm_bias=False, norm_eps=1e-5, rotary_frac=1.0, rotary_base=10000.0, qkv_bias=False, tied_head=False,
)  # fmt: skip
IGNORE = -100

Pair = tuple[list[int], list[int], list[int]]
"""Prompt, chosen answer, rejected answer."""


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Return how far two tensors are apart, relative to the second."""
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


def rows(sequences: list[tuple[list[int], list[bool]]], sparse: bool, values: Mapping[str, Tensor] | None = None) -> MicroBatch:
    """Return sequences of ids and of what is to be learnt, one to a row, padded on the right."""
    longest = max(len(ids) for ids, _ in sequences) - 1
    ids_BT = torch.zeros(len(sequences), longest, dtype=torch.long)
    targets_BT = torch.full_like(ids_BT, IGNORE)
    for row, (ids, learnt) in enumerate(sequences):
        ids_BT[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets_BT[row, : len(ids) - 1] = torch.where(torch.tensor(learnt[1:]), torch.tensor(ids[1:]), IGNORE)
    rows_N = (targets_BT.flatten() != IGNORE).nonzero().flatten() if sparse else None
    return MicroBatch(ids_BT, targets_BT, None, None, values=values or {}, rows_N=rows_N)


@dataclass
class Twins:
    """`theirs` is a `LlamaForCausalLM`, `ours` has its weights."""

    theirs: Any
    ours: Decoder
    tokenizer: Any
    folder: Path
    trainers: dict[str, Any] = field(default_factory=dict)

    def pairs(self, count: int, seed: int = 0, prompt_tokens: int = 5) -> list[Pair]:
        """Return pairs of which no two have the same lengths throughout; prompts have up to so many tokens more than one."""
        generator = torch.Generator().manual_seed(seed)

        def some(least: int, most: int) -> list[int]:
            tokens = int(torch.randint(least, most + 1, (1,), generator=generator))
            return torch.randint(4, VOCAB, (tokens,), generator=generator).tolist()

        return [([3, *some(0, prompt_tokens)], some(1, 9), some(1, 9)) for _ in range(count)]

    def batch(self, pairs: list[Pair], references: Tensor | None = None, sparse: bool = True) -> MicroBatch:
        """Return the pairs as objectives read them."""
        sides = [(prompt, answer) for prompt, chosen, rejected in pairs for answer in (chosen, rejected)]
        sequences = [(prompt + answer, [False] * len(prompt) + [True] * len(answer)) for prompt, answer in sides]
        return rows(sequences, sparse, {} if references is None else {"reference": references})

    def gradients(self, loss: ObjectiveLoss) -> dict[str, Tensor]:
        """Return the gradient of every one of our parameters."""
        names = [name for name, _ in self.ours.named_parameters()]
        return dict(zip(names, torch.autograd.grad(loss.loss_sum, list(self.ours.parameters())), strict=True))

    def their_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Return the gradient of every one of their parameters under our names."""
        names = [name for name, _ in self.theirs.named_parameters()]
        gradients = torch.autograd.grad(loss, list(self.theirs.parameters()))
        return from_hf(dict(zip(names, gradients, strict=True)), CONFIG)

    def assert_same_gradients(self, loss: ObjectiveLoss, units: float, their_loss: Tensor) -> None:
        """Assert that every gradient of our loss over `units` equals theirs to 1e-5 of its norm."""
        ours, theirs = self.gradients(loss), self.their_gradients(their_loss)
        assert set(ours) == set(theirs) and len(ours) == 21
        for name, gradient in ours.items():
            assert relative_error(gradient / units, theirs[name]) < 1e-5, name

    def trl_dpo(
        self, pairs: list[Pair], references: Tensor, loss_type: str, beta: float, label_smoothing: float = 0.0
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss that TRL's `DPOTrainer` computes of these pairs as one batch, and what it logs."""
        trl = pytest.importorskip("trl")
        if "dpo" not in self.trainers:
            arguments = trl.DPOConfig(precompute_ref_log_probs=True, max_length=None, **self._arguments())
            self.trainers["dpo"] = trl.DPOTrainer(self.theirs, args=arguments, **self._data())
        trainer = self.trainers["dpo"]
        trainer.loss_types, trainer.beta, trainer.label_smoothing = [loss_type], beta, label_smoothing
        examples = [
            {"prompt_ids": p, "chosen_ids": c, "rejected_ids": r, "ref_chosen_logps": w, "ref_rejected_logps": v}
            for (p, c, r), (w, v) in zip(pairs, references.tolist(), strict=True)
        ]
        trainer._metrics["train"].clear()
        loss = trainer.compute_loss(self.theirs.train(), trainer.data_collator(examples))
        return loss, {name: values[0] for name, values in trainer._metrics["train"].items()}

    def trl_orpo(self, beta: float) -> Any:
        """Return TRL's `ORPOTrainer`, which 1.x keeps among what is experimental."""
        orpo = pytest.importorskip("trl.experimental.orpo")
        arguments = orpo.ORPOConfig(beta=beta, max_length=64, **self._arguments())
        return orpo.ORPOTrainer(self.theirs, args=arguments, **self._data())

    def trl_sft(self, sequences: list[tuple[list[int], list[bool]]]) -> Tensor:
        """Return the loss that TRL's `SFTTrainer` computes of these sequences as one batch."""
        trl = pytest.importorskip("trl")
        datasets = pytest.importorskip("datasets")
        arguments = trl.SFTConfig(max_length=None, packing=False, **self._arguments())
        labels = [[i if learnt else IGNORE for i, learnt in zip(*sequence, strict=True)] for sequence in sequences]
        examples = [{"input_ids": ids, "labels": label} for (ids, _), label in zip(sequences, labels, strict=True)]
        trainer = trl.SFTTrainer(
            self.theirs, args=arguments, train_dataset=datasets.Dataset.from_list(examples), processing_class=self.tokenizer
        )
        inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(examples))])
        loss: Tensor = trainer.compute_loss(self.theirs.train(), inputs)
        return loss

    def _arguments(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.folder), "use_cpu": True, "bf16": False, "report_to": [], "remove_unused_columns": False,
            "activation_checkpointing": False, "disable_tqdm": True,
        }  # fmt: skip

    def _data(self) -> dict[str, Any]:
        """A row of text, which trainers want to see before they take any batch."""
        datasets = pytest.importorskip("datasets")
        text = datasets.Dataset.from_list([{"prompt": "t5 t6 ", "chosen": "t7", "rejected": "t8"}])
        return {"train_dataset": text, "processing_class": self.tokenizer}


@pytest.fixture(scope="module")
def make_twins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Twins]:
    """Return a function that makes the twins; transformers is imported only by tests that want them."""
    made: list[Twins] = []

    def make() -> Twins:
        if not made:
            made.append(_twins(tmp_path_factory.mktemp("trl")))
        return made[0]

    return make


@pytest.fixture
def twins(make_twins: Callable[[], Twins]) -> Twins:
    """The tiny Llama twice."""
    return make_twins()


def _twins(folder: Path) -> Twins:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"t{i}": i for i in range(VOCAB)}, unk_token="t1"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="t0", eos_token="t2", bos_token="t3")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, rms_norm_eps=1e-5, rope_theta=10000.0, initializer_range=0.2,
        pad_token_id=0, bos_token_id=3, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = LlamaForCausalLM(config)
    ours = Decoder(CONFIG)
    ours.load_state_dict(from_hf(theirs.state_dict(), CONFIG))
    return Twins(theirs, ours, tokenizer, folder)
