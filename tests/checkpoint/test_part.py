import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.checkpoint.part import Part, Snapshot, local_state, read_part

TENSORS = {
    "random/torch": torch.arange(5, dtype=torch.uint8),
    "model/few": torch.arange(-2, 3, dtype=torch.int8),
    "model/w": torch.arange(6.0).view(2, 3).t(),
    "model/nothing": torch.empty(0, 4),
    "model/half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "optimizer/w/step": torch.tensor(3.0),
    "optimizer/w/count": torch.tensor([2**40]),
    "mask": torch.tensor([True, False, True]),
}


@given(size=st.integers(1, 2000))
def test_any_cut_of_the_stream_is_one_safetensors_file_that_the_library_reads(size: int) -> None:
    part = Part(TENSORS, {"plain": '{"über": 1}'})
    pieces = [bytes(chunk.numpy()) for chunk in part.chunks(size)]
    data = b"".join(pieces)
    assert len(data) == part.bytes and {len(piece) for piece in pieces[:-1]} <= {size}
    for tensors in (safetensors.torch.load(data), read_part(torch.frombuffer(bytearray(data), dtype=torch.uint8))[0]):
        assert tensors.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor), name


def test_what_the_library_writes_is_read_as_well() -> None:
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in TENSORS.items()}, {"a": "b"})
    tensors, metadata = read_part(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    assert metadata == {"a": "b"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())


def test_a_state_comes_back_into_the_tensors_that_are_given_for_it() -> None:
    state = {
        "model": {"w": torch.nn.Parameter(torch.arange(6.0).view(2, 3))},
        "optimizer": {"w": {"step": torch.tensor(2.0)}},
        "progress": {"step": 2, "nats": {"law": 0.1 + 0.2}, "skipped": []},
    }
    part = Part(*local_state(state))
    into = {"w": torch.zeros(2, 3), "w/step": torch.tensor(0.0)}
    asked = []

    def targets(section: str, name: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        asked.append((section, name, tuple(shape), dtype))
        return into[name]

    back = Snapshot(2, torch.cat([chunk.clone() for chunk in part.chunks(100)])).state(targets)
    assert asked == [("model", "w", (2, 3), torch.float32), ("optimizer", "w/step", (), torch.float32)]
    assert back["model"]["w"] is into["w"] and torch.equal(into["w"], state["model"]["w"])
    assert back["optimizer"]["w"]["step"] == 2 and back["progress"] == state["progress"]
