import shutil
import threading
from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.engine import Finished, GenerationRequest, Token
from pellucid.generate.sampling import Sampling
from pellucid.shards.stream import TokenStream
from pellucid.stages.served import EngineShape, open_served
from pellucid.stages.subjects import find_target, open_model
from pellucid.stages.verify import verify_run


def test_an_export_in_gguf_is_served_by_llama_cpp_with_its_own_chat_format(finished_run: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = open_served(finished_run / "exports" / "gguf" / "model-F16.gguf", EngineShape(slots=2, threads=1))
    try:
        assert model.name == f"{finished_run.name}-export-gguf-F16" and model.chat is not None
        facts = model.engine.identity
        assert (facts["engine"], facts["slots"], len(facts["digest"])) == ("llama.cpp", 2, 64)
        assert model.tokenizer.decode(model.encode("Die Würde")) == "Die Würde"
    finally:
        model.engine.close()


def test_a_context_beyond_the_models_and_shapes_of_nothing_are_refused(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="was trained for"):
        open_served(finished_run / "exports" / "gguf" / "model-F16.gguf", EngineShape(context_tokens=10**6))
    with pytest.raises(UsageError, match="--slots 0"):
        EngineShape(slots=0)


@pytest.mark.parametrize("place", [".", "pretrain", "exports/hf"])
def test_a_run_a_stage_and_a_folder_are_served_by_torch_and_answer_as_the_model_alone(finished_run: Path, place: str) -> None:
    model = open_served(finished_run / place, EngineShape(slots=2))
    done = threading.Event()
    events: list[object] = []

    def note(event: object) -> None:
        events.append(event)
        if isinstance(event, Finished):
            done.set()

    try:
        assert model.engine.identity["engine"] == "torch" and (model.chat is not None) == (place != "pretrain")
        ids = tuple(model.encode("Die Würde"))
        model.engine.submit(GenerationRequest(ids, 6, Sampling(temperature=0)), note)
        assert done.wait(60)
        alone = open_model(find_target(finished_run / place))
        expected = list(generate(alone.model, ids, max_new_tokens=6, temperature=0))
        assert [event.id for event in events if isinstance(event, Token)] == expected
    finally:
        model.engine.close()


@pytest.mark.parametrize("place", [".", "pretrain", "exports/hf"])
def test_what_lies_in_a_run_can_be_looked_up_in_its_training_data(run_copy: Path, place: str) -> None:
    model = open_served(run_copy / place, EngineShape(slots=1))
    model.engine.close()
    assert not isinstance(model.origins, str)
    model.origins.prepare()
    stream = TokenStream(sorted((run_copy / "shards").glob("*/train"))[0])
    whole = stream.read(0, int(stream.document_starts[1]) - 1).tolist()
    (run,) = model.origins.look_up(whole)["runs"]
    assert run["tokens"] == len(whole) and run["shown"][0]["begins"] and run["shown"][0]["ends"]
    if place == ".":
        verified = verify_run(run_copy)
        assert "ngrams" in verified.checked and verified.faults == []


def test_without_shards_or_a_run_it_is_said_why_nothing_can_be_looked_up(run_copy: Path, tmp_path: Path) -> None:
    shutil.copytree(run_copy / "exports" / "hf", tmp_path / "elsewhere")
    shutil.rmtree(run_copy / "shards")
    for place, why in ((run_copy, "has no shards"), (tmp_path / "elsewhere", "lies in no run")):
        model = open_served(place, EngineShape(slots=1))
        model.engine.close()
        assert isinstance(model.origins, str) and why in model.origins
