import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.checkpoint.files import load_checkpoint
from pellucid.core.metrics import read_metrics
from pellucid.train.gradients import ExactGradients, LocalGradients
from pellucid.train.world import World

SMALL_FLOATS = st.floats(-8, 8, width=32)


def exact_sum(micro_gradients: list[list[float]]) -> torch.Tensor:
    parameter = torch.nn.Parameter(torch.zeros(len(micro_gradients[0])))
    sums = ExactGradients([parameter], len(micro_gradients), World())
    for number, gradient in enumerate(micro_gradients, start=1):
        with sums.micro_step(last=number == len(micro_gradients)):
            (parameter * torch.tensor(gradient)).sum().backward()
    sums.finish()
    assert parameter.grad is not None
    return parameter.grad


@given(rows=st.lists(st.lists(SMALL_FLOATS, min_size=3, max_size=3), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_the_sum_is_the_true_one_and_no_order_changes_a_bit(rows: list[list[float]], seed: int) -> None:
    found = exact_sum(rows)
    shuffled = random.Random(seed).sample(rows, len(rows))
    assert torch.equal(found, exact_sum(shuffled))
    torch.testing.assert_close(found, torch.tensor(rows, dtype=torch.float64).sum(0).float(), atol=2**-44, rtol=1e-7)


def test_float32_sums_do_change_with_the_order() -> None:
    rows = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(sum(rows), sum(rows.flip(0)))  # type: ignore[arg-type]
    assert torch.equal(exact_sum(rows.tolist()), exact_sum(rows.flip(0).tolist()))


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), 2.0**15])
def test_a_gradient_that_cannot_be_added_makes_all_of_the_step_no_number_and_the_next_step_is_clean(spoilt: float) -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]
    sums = ExactGradients([*parameters], 4, World())
    with sums.micro_step(last=True):
        (parameters[0] * spoilt + 1).sum().backward()
        parameters[1].sum().backward()
    sums.finish()
    assert all(parameter.grad is not None and parameter.grad.isnan().all() for parameter in parameters)
    for parameter in parameters:
        parameter.grad = None
    with sums.micro_step(last=True):
        sum(parameter.sum() for parameter in parameters).backward()  # type: ignore[union-attr]
    sums.finish()
    assert all(parameter.grad is not None and (parameter.grad == 1).all() for parameter in parameters)


def test_one_process_leaves_gradients_to_autograd() -> None:
    parameter, sums = torch.nn.Parameter(torch.ones(2)), LocalGradients()
    for last in (False, True):
        with sums.micro_step(last=last):
            parameter.sum().backward()
    sums.finish()
    assert parameter.grad is not None and parameter.grad.tolist() == [2, 2]


def test_exact_steps_have_the_same_bits_on_one_two_and_four_ranks(tmp_path: Path, ranks: Any) -> None:
    kinds = ("adamw", "muon")
    for size in (1, 2, 4):
        ranks(size, *(ranks.job(tmp_path / f"{kind}-{size}", 6, exact=True, optimizer={"kind": kind}) for kind in kinds))
    for kind in kinds:
        kept = [tmp_path / f"{kind}-{size}" for size in (1, 2, 4)]
        lines = [[line for line in read_metrics(out / "metrics.jsonl") if "loss" in line] for out in kept]
        assert [line["loss"] for line in lines[0]] == [line["loss"] for line in lines[1]] == [line["loss"] for line in lines[2]]
        assert [line["grad_norm"] for line in lines[0]] == [line["grad_norm"] for line in lines[2]]
        states = [load_checkpoint(out / "checkpoints/step-00000006")[0] for out in kept]
        for section in ("model", "optimizer"):
            assert_same_bits(states[0][section], states[1][section])
            assert_same_bits(states[0][section], states[2][section])


def assert_same_bits(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for name in a:
            assert_same_bits(a[name], b[name])
    else:
        assert torch.equal(a, b)
