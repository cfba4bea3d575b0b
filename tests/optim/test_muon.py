import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.placement_types import Placement
from torch.testing._internal.distributed.fake_pg import FakeStore

from pellucid.optim import muon
from pellucid.optim.muon import Muon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 24, 24), (2, 16, 48), (2, 48, 16)])
def test_orthogonalising_keeps_singular_vectors_and_levels_singular_values(shape: tuple[int, int, int]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    y = orthogonalize(x)
    core = u.mT @ y @ vh.mT
    values = core.diagonal(dim1=-2, dim2=-1)
    assert values.min() > 0.3
    assert values.max() < 1.3
    assert (core - torch.diag_embed(values)).abs().max() < 1e-3


def test_it_agrees_with_torch_muon_up_to_that_ones_bfloat16() -> None:
    ours, theirs = (torch.nn.Parameter(torch.randn(24, 40, generator=torch.Generator().manual_seed(2))) for _ in range(2))
    a = Muon([ours], lr=0.02, momentum=0.9, weight_decay=0.1)
    b = torch.optim.Muon([theirs], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    start = ours.detach().clone()
    for step in range(3):
        gradient = torch.randn(24, 40, generator=torch.Generator().manual_seed(10 + step))
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved


def test_the_update_has_the_root_mean_square_of_adamw() -> None:
    parameter = torch.nn.Parameter(torch.zeros(64, 32))
    parameter.grad = torch.randn(64, 32, generator=torch.Generator().manual_seed(3))
    Muon([parameter], lr=1.0, momentum=0.95).step()
    assert parameter.detach().square().mean().sqrt() == pytest.approx(0.2, rel=0.25)


def test_matrices_of_one_shape_are_updated_as_if_each_were_alone() -> None:
    generator = torch.Generator().manual_seed(4)
    gradients = [torch.randn(8, 12, generator=generator) for _ in range(3)]
    together = [torch.nn.Parameter(torch.ones(8, 12)) for _ in gradients]
    alone = [torch.nn.Parameter(torch.ones(8, 12)) for _ in gradients]
    for parameter, gradient in zip(together + alone, gradients * 2, strict=True):
        parameter.grad = gradient.clone()
    Muon(together, lr=0.1, momentum=0.9).step()
    for parameter in alone:
        Muon([parameter], lr=0.1, momentum=0.9).step()
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("placement", [Shard(0), Replicate()])
def test_of_several_ranks_each_takes_some_of_the_matrices_whole(placement: Placement, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Size] = []

    def note(x_NPQ: torch.Tensor) -> torch.Tensor:
        seen.append(x_NPQ.shape)
        return x_NPQ

    monkeypatch.setattr(muon, "orthogonalize", note)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    try:
        mesh = init_device_mesh("cpu", (4,))
        matrices = [nn.Parameter(distribute_tensor(torch.randn(8, 6), mesh, [placement])) for _ in range(6)]
        for matrix in matrices:
            matrix.grad = torch.zeros_like(matrix)
        Muon(matrices, lr=0.1, momentum=0.9).step()
    finally:
        dist.destroy_process_group()
    assert seen == [(2, 8, 6)], "six matrices go to four ranks as 2, 2, 2 and 0"
