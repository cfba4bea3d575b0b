import pytest
import torch

from pellucid.optim.clip import clip_gradients, same_mesh


@pytest.mark.parametrize("largest", [0.1, 1.0, 1e6])
def test_gradients_are_clipped_as_torch_clips_them(largest: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = ([torch.nn.Parameter(torch.zeros(3, n)) for n in (1, 5, 9)] for _ in range(2))
    for a, b in zip(ours, theirs, strict=True):
        a.grad = torch.randn(a.shape, generator=generator)
        b.grad = a.grad.clone()
    unused = torch.nn.Parameter(torch.zeros(2))
    norm = clip_gradients([*ours, unused], largest)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(theirs, largest))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(ours, theirs, strict=True))  # type: ignore[arg-type]
    assert unused.grad is None


def test_plain_parameters_are_on_no_mesh_and_stay_together_in_order() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(3)]
    [group] = same_mesh(parameters)
    assert all(a is b for a, b in zip(group, parameters, strict=True))
