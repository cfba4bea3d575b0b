import os
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from pellucid.core.artifacts import read_manifest
from pellucid.core.energy import EnergyMeter, Spent
from pellucid.core.errors import UsageError
from pellucid.core.files import read_json
from pellucid.core.threads_wait import THREADS_WAIT
from pellucid.stages.contestant_process import ContestantProcess, Turn
from pellucid.stages.contestant_programs import Contestant, Machine
from pellucid.stages.run_folder import open_recipe
from pellucid.stages.throughput import Load, _contestants, _one_turn, _targets, measure, write_throughput
from pellucid.stages.verify import verify_run
from pellucid.tokenizer.training import train_bpe

CUDA = torch.cuda.is_available()
SMALL = Load(prompt_tokens=8, new_tokens=4, batches=(1, 2), rounds=2, threads=1)


@pytest.fixture(scope="module")
def found(finished_run: Path) -> dict[str, Any]:
    pytest.importorskip("xllamacpp")
    return measure([finished_run], SMALL, only=["llama.cpp", "openvino"])


def test_all_take_turns_and_those_who_cannot_are_named(found: dict[str, Any]) -> None:
    first, second, missing = found["contestants"]
    assert [one["name"] for one in found["contestants"]] == ["llama.cpp F16", "llama.cpp Q8_0", "OpenVINO"]
    assert missing["missing"] == "the run has no such export: add openvino to export.formats" and missing["batches"] == {}
    for one in (first, second):
        assert one["missing"] is None and set(one["batches"]) == {"1", "2"} and one["version"].startswith("xllamacpp")
        assert one["memory"]["peak_bytes"] > one["memory"]["before_bytes"] > 0 and one["bytes"] > 100_000
        for figures in one["batches"].values():
            for name in ("prompt_tokens_per_s", "decode_tokens_per_s", "tokens_per_s", "first_token_s", "cpu_frac"):
                spread = figures[name]
                assert 0 < spread["min"] <= spread["median"] <= spread["max"] and len(spread["rounds"]) == SMALL.rounds
    settings = found["settings"]
    assert (settings["threads"], settings["batches"], settings["prompt_tokens"], settings["new_tokens"]) == (1, [1, 2], 8, 4)
    assert (len(settings["cores"]) == 1) if hasattr(os, "sched_getaffinity") else settings["cores"] is None
    assert found["energy"]["counters"] or found["energy"]["missing"]


def test_it_becomes_an_artifact_of_the_run_which_holds(found: dict[str, Any], run_copy: Path) -> None:
    file = write_throughput(run_copy, found)
    assert file == run_copy / "throughput" / "throughput.json" and read_json(file) == found
    assert read_manifest(file.parent, "throughput").summary == {"measured": 2}
    assert verify_run(run_copy).faults == []
    file.write_text(file.read_text().replace('"rounds": 2', '"rounds": 9'))
    assert any("throughput.json" in fault for fault in verify_run(run_copy).faults)


def test_who_fails_is_a_line_and_the_others_go_on(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    shutil.copytree(finished_run / "exports" / "gguf", tmp_path / "gguf")
    file = tmp_path / "gguf" / "model-Q8_0.gguf"
    file.write_bytes(file.read_bytes()[:-1000])
    first, second = measure([tmp_path / "gguf"], Load(4, 2, (1,), 1, 1))["contestants"]
    assert first["missing"] is None and first["batches"]
    assert "does not load" in second["missing"] and not second["batches"]


def test_loads_that_are_none_or_do_not_fit_are_refused(finished_run: Path) -> None:
    for wrong, said in (
        ({"new_tokens": 1}, "--new-tokens 1: must be at least 2"),
        ({"batches": ()}, "--batch 0"),
        ({"batches": (4, 0)}, "--batch 0"),
        ({"rounds": 0}, "--rounds 0"),
        ({"threads": 0}, "--threads 0"),
    ):
        with pytest.raises(UsageError, match=said):
            Load(**wrong)
    most = open_recipe(finished_run).model.context_tokens
    with pytest.raises(UsageError, match=f"was trained for {most} tokens"):
        measure([finished_run], Load(prompt_tokens=most, new_tokens=2))
    with pytest.raises(UsageError, match="--threads 4096: this process may use"):
        measure([finished_run], Load(8, 4, threads=4096))
    with pytest.raises(UsageError, match="nobody has such a name; there are Pellucid checkpoint"):
        measure([finished_run], SMALL, only=["onnx"])


def test_targets_with_other_vocabularies_do_not_compare(finished_run: Path, tmp_path: Path) -> None:
    gguf = finished_run / "exports" / "gguf"
    shutil.copytree(finished_run / "exports" / "hf", tmp_path / "hf")
    train_bpe(["other words in other places"] * 20, 300).save(tmp_path / "other")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (tmp_path / "other" / name).is_file():
            shutil.copy(tmp_path / "other" / name, tmp_path / "hf" / name)
    with pytest.raises(UsageError, match="reads texts into other tokens"):
        measure([gguf, tmp_path / "hf"], SMALL)


def test_targets_of_one_vocabulary_stand_in_one_table_with_names_of_their_own(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        shutil.copy(finished_run / "exports" / "gguf" / "model-F16.gguf", tmp_path / folder)
    found = measure([tmp_path / "first", tmp_path / "second"], Load(4, 2, (1,), 1, 1))
    assert found["targets"] == ["first", "second"]
    assert [one["name"] for one in found["contestants"]] == ["llama.cpp F16 of first", "llama.cpp F16 of second"]
    assert all(one["batches"] for one in found["contestants"])


def test_targets_whose_last_parts_agree_get_the_folders_that_tell_them_apart(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    for folder in ("a", "b"):
        (tmp_path / folder / "exports" / "gguf").mkdir(parents=True)
        shutil.copy(finished_run / "exports" / "gguf" / "model-F16.gguf", tmp_path / folder / "exports" / "gguf")
    paths = [tmp_path / folder / "exports" / "gguf" for folder in ("a", "b")]
    found = measure(paths, Load(4, 2, (1,), 1, 1))
    assert found["targets"] == ["a/exports/gguf", "b/exports/gguf"]
    names = ["llama.cpp F16 of a/exports/gguf", "llama.cpp F16 of b/exports/gguf"]
    assert [one["name"] for one in found["contestants"]] == names
    assert all(one["batches"] for one in found["contestants"])


def test_no_more_folders_are_named_than_are_needed(tmp_path: Path) -> None:
    places = ["a/exports/hf", "b/exports/hf", "c/hf", "c/mlx", "hf"]
    assert list(_targets([tmp_path / place for place in places])) == [
        "a/exports/hf", "b/exports/hf", "c/hf", "mlx", f"{tmp_path.name}/hf",
    ]  # fmt: skip
    assert list(_targets([Path("/hf"), Path("/a/hf")])) == ["/hf", "a/hf"]


def test_a_target_that_is_given_twice_is_a_wrong_call(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(finished_run)
    for other in (finished_run, finished_run / "exports" / "..", tmp_path / "again"):
        with pytest.raises(UsageError, match="is given twice: name each target once"):
            measure([finished_run, other], SMALL)


def test_two_runs_without_an_export_are_two_lines(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "other")
    names = [one.name for one in _contestants(_targets([finished_run, tmp_path / "other"]), False, ())]
    assert len(set(names)) == len(names) == 12
    assert {"MLX of pocket-smoke", "MLX of other", "Pellucid checkpoint of other"} < set(names)


def test_each_row_says_its_device_and_what_its_process_was_told(found: dict[str, Any]) -> None:
    first, second, missing = found["contestants"]
    assert first["device"] == second["device"] == "cpu" and missing["device"] is None
    assert first["variables"]["OMP_NUM_THREADS"] == "1" and not THREADS_WAIT.keys() & first["variables"].keys() - os.environ.keys()
    assert found["settings"]["device"] == ("cuda" if CUDA else "cpu")


@pytest.mark.skipif(CUDA, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_a_wrong_call(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="--device cuda: torch sees no GPU here; take --device cpu"):
        measure([finished_run], Load(8, 4, device="cuda"))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not CUDA, reason="no GPU"))])
def test_torch_computes_on_one_device_in_our_engine_and_in_transformers(finished_run: Path, device: Literal["cpu", "cuda"]) -> None:
    pytest.importorskip("transformers")
    found = measure([finished_run / "exports" / "hf"], Load(4, 2, (1,), 1, 1, device=device))
    wanted = "cpu" if device == "cpu" else "cuda:0"
    assert [(one["name"], one["device"], bool(one["batches"])) for one in found["contestants"]] == [
        ("Pellucid hf", wanted, True), ("transformers hf", wanted, True),
    ]  # fmt: skip


def test_a_counter_that_dies_in_a_turn_voids_its_figure_and_says_so(finished_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    for number in (0, 1):
        zone = tmp_path / "class" / "powercap" / f"intel-rapl:{number}"
        zone.mkdir(parents=True)
        for name, text in (("name", f"package-{number}"), ("max_energy_range_uj", "1000000000"), ("energy_uj", "5")):
            (zone / name).write_text(text)
    file = finished_run / "exports" / "gguf" / "model-F16.gguf"
    one = Contestant("run", "llama.cpp", "F16", file)
    with EnergyMeter(tmp_path) as meter, ContestantProcess(one, Machine(1, None, 1, 16), tmp_path / "log") as process:

        def dies(prompts: list[list[int]], new_tokens: int) -> Turn:
            (zone / "energy_uj").unlink()
            return ContestantProcess.turn(process, prompts, new_tokens)

        process.turn = dies  # type: ignore[method-assign,assignment]
        assert _one_turn(process, [[5, 6]], 2, meter)[1] == Spent(None, "cpu package-1 stopped answering")


@pytest.mark.slow
def test_our_own_engine_and_transformers_take_turns_with_llama_cpp(finished_run: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    found = measure([finished_run], SMALL, served=True)
    names = ["Pellucid checkpoint", "transformers float32", "llama.cpp F16", "llama.cpp Q8_0"]
    served = ["llama.cpp, served F16", "llama.cpp, served Q8_0"]
    assert [one["name"] for one in found["contestants"] if one["batches"]] == [*names, *served]
