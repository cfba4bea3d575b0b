import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.artifacts import read_manifest
from pellucid.core.errors import UsageError
from pellucid.core.files import read_json
from pellucid.stages.contestant_process import Turn
from pellucid.stages.run_folder import open_recipe
from pellucid.stages.throughput import Load, measure, turn_figures, write_throughput
from pellucid.stages.verify import verify_run
from pellucid.tokenizer.training import train_bpe

SMALL = Load(prompt_tokens=8, new_tokens=4, batches=(1, 2), rounds=2, threads=1)


def test_rates_of_sequences_that_overlap_only_in_part() -> None:
    turn = Turn([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0]], 10, 6.0, 3.0, 0, 0)
    figures = turn_figures(turn, 55, 60.0)
    assert figures == {
        "prompt_tokens_per_s": (2 * 55 - 10) / 2,
        "decode_tokens_per_s": 2 / 1,  # of each one, between seconds 2 and 3
        "tokens_per_s": 7 / 5,
        "first_token_s": 1.5,
        "watts": 10,
        "joules_per_token": 60 / 7,
        "cpu_frac": 0.5,
    }
    apart = turn_figures(turn._replace(at_s=[[1.0, 2.0], [3.0, 4.0]]), 55, None)
    assert apart["decode_tokens_per_s"] is None and apart["watts"] is None and apart["prompt_tokens_per_s"] == 100 / 3


def test_a_turn_too_short_for_the_counters_or_one_without_a_tick_has_no_watts() -> None:
    turn = Turn([[0.1, 0.2]], 0, 0.3, 0.3, 0, 0)
    for one, joules in ((turn, 5.0), (turn._replace(seconds=2.0), 0.0)):
        figures = turn_figures(one, 8, joules)
        assert figures["watts"] is None and figures["joules_per_token"] is None


@given(
    sequences=st.integers(1, 16), first_s=st.floats(1e-3, 1e3), step_s=st.floats(1e-4, 10), steps=st.integers(2, 64),
    tokens=st.integers(1, 4096), watts=st.floats(1, 1e3),
)  # fmt: skip
def test_in_step_a_rate_is_the_count_over_the_time(
    sequences: int, first_s: float, step_s: float, steps: int, tokens: int, watts: float
) -> None:
    times = [first_s + step_s * number for number in range(steps)]
    turn = Turn([times] * sequences, 0, max(times[-1], 1.0), 1.0, 0, 0)
    figures = turn_figures(turn, tokens, watts * turn.seconds)
    assert figures["prompt_tokens_per_s"] == pytest.approx(sequences * tokens / first_s)
    assert figures["decode_tokens_per_s"] == pytest.approx(sequences / step_s, rel=1e-6)
    assert figures["watts"] == pytest.approx(watts)
    joules = figures["joules_per_token"]
    assert joules is not None and joules * sequences * steps == pytest.approx(watts * turn.seconds)


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


@pytest.mark.slow
def test_our_own_engine_and_transformers_take_turns_with_llama_cpp(finished_run: Path) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    found = measure([finished_run], SMALL, served=True)
    names = ["Pellucid checkpoint", "transformers float32", "llama.cpp F16", "llama.cpp Q8_0"]
    served = ["llama.cpp, served F16", "llama.cpp, served Q8_0"]
    assert [one["name"] for one in found["contestants"] if one["batches"]] == [*names, *served]
