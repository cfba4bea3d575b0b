import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from pellucid.checkpoint.hf_folder import weight_files
from pellucid.export.shards import INDEX, WEIGHTS, save_shards


def weights(sizes):
    generator = torch.Generator().manual_seed(4)
    return {f"layer.{place}": torch.randn(size, generator=generator) for place, size in enumerate(sizes)}


def loaded(folder):
    return {name: tensor for file in weight_files(folder) for name, tensor in load_file(folder / file).items()}


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    limit=st.integers(1, 400),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_every_tensor_lies_in_one_file_in_order_and_files_are_as_full_as_they_may_be(sizes, limit, dtype, tmp_path_factory):
    folder, tensors = tmp_path_factory.mktemp("shards"), weights(sizes)
    names = save_shards(tensors, dtype, folder, limit)
    assert sorted(names) == sorted(file.name for file in folder.glob("*.safetensors"))
    assert all(torch.equal(tensor, tensors[name].to(dtype)) for name, tensor in loaded(folder).items())
    assert loaded(folder).keys() == tensors.keys()
    files = [load_file(folder / name) for name in names]
    used = [sum(tensor.nbytes for tensor in file.values()) for file in files]
    assert all(size <= limit or len(file) == 1 for size, file in zip(used, files, strict=True))
    order = [sorted(int(name.split(".")[1]) for name in file) for file in files]
    assert [place for file in order for place in file] == list(range(len(sizes)))
    for before, after, size in zip(files, order[1:], used, strict=False):
        assert before
        assert size + tensors[f"layer.{after[0]}"].numel() * dtype.itemsize > limit
    assert (folder / INDEX).exists() == (len(names) > 1)
    if len(names) > 1:
        assert json.loads((folder / INDEX).read_text())["metadata"]["total_size"] == sum(used)


def test_weights_from_before_are_replaced_whole_or_cut(tmp_path):
    for limit, files in ((100, 4), (10**6, 1), (60, 8)):
        names = save_shards(weights([12] * 8), torch.float32, tmp_path, limit)
        assert len(names) == files
        present = {file.name for file in tmp_path.iterdir()}
        assert present == {*names, INDEX} if files > 1 else present == {WEIGHTS}
    (tmp_path / "model-of-mine.safetensors").write_bytes(b"")
    save_shards(weights([3]), torch.float32, tmp_path, 100)
    assert (tmp_path / "model-of-mine.safetensors").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_of_one_tensor_are_written_as_tensors_of_their_own(dtype, tmp_path):
    whole = torch.randn(4, 6)
    save_shards(dict(zip("abcd", whole, strict=True)), dtype, tmp_path, 10**6)
    assert torch.equal(torch.stack([load_file(tmp_path / WEIGHTS)[name] for name in "abcd"]), whole.to(dtype))
