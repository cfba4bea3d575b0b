import torch

from pellucid.checkpoint.staging import HostCopy


def test_a_copy_is_the_state_of_the_moment_and_its_memory_serves_the_next() -> None:
    copy, weight = HostCopy(), torch.ones(3)
    first = copy.take({"model": {"w": weight, "row": weight[1:]}, "progress": {"tokens": 5}})
    weight.zero_()
    assert first["model"]["w"].tolist() == [1, 1, 1] and first["progress"] == {"tokens": 5}
    assert first["model"]["row"].tolist() == [1, 1]
    second = copy.take({"model": {"w": weight}})
    assert second["model"]["w"].tolist() == [0, 0, 0]
    assert second["model"]["w"].data_ptr() == first["model"]["w"].data_ptr()
    copy.close()
