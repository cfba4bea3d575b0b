import json
import shutil
import threading
from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.generate.decoding import generate
from pellucid.generate.engine import Finished, GenerationRequest, Token
from pellucid.generate.int8 import Int8Decoder
from pellucid.generate.sampling import Sampling
from pellucid.serve.model import ServedModel
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
    try:
        assert model.engine.identity["engine"] == "torch" and (model.chat is not None) == (place != "pretrain")
        ids = tuple(model.encode("Die Würde"))
        alone = open_model(find_target(finished_run / place))
        expected = list(generate(alone.model, ids, max_new_tokens=6, temperature=0))
        assert answer(model, ids, 6) == expected
    finally:
        model.engine.close()


def answer(model: ServedModel, ids: tuple[int, ...], tokens: int) -> list[int]:
    done = threading.Event()
    events: list[object] = []

    def note(event: object) -> None:
        events.append(event)
        if isinstance(event, Finished):
            done.set()

    model.engine.submit(GenerationRequest(ids, tokens, Sampling(temperature=0)), note)
    assert done.wait(60)
    return [event.id for event in events if isinstance(event, Token)]


def test_a_smaller_model_proposes_and_the_answer_stays(finished_run: Path) -> None:
    plain = open_served(finished_run, EngineShape(slots=2))
    drafted = open_served(finished_run, EngineShape(slots=2, draft=finished_run / "pretrain"))
    try:
        ids = tuple(plain.encode("Die Würde"))
        assert answer(drafted, ids, 12) == answer(plain, ids, 12)
        assert drafted.engine.stats().proposed_tokens > 0 == plain.engine.stats().proposed_tokens
        assert (drafted.engine.identity["draft"], plain.engine.identity["draft"]) == ("pretrain", None)
    finally:
        plain.engine.close()
        drafted.engine.close()


def test_matrices_in_8_bits_answer_as_the_decoder_of_8_bits(finished_run: Path) -> None:
    model = open_served(finished_run, EngineShape(slots=2, weights="int8"))
    try:
        ids = tuple(model.encode("Die Würde"))
        alone = Int8Decoder(open_model(find_target(finished_run)).model)
        assert answer(model, ids, 12) == list(generate(alone, ids, max_new_tokens=12, temperature=0))
        assert model.engine.identity["weights"] == "int8"
    finally:
        model.engine.close()


def test_a_draft_of_another_vocabulary_is_refused(finished_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished_run / "exports" / "hf", other)
    file = other / "tokenizer.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    # Two entries change places: as many tokens, and a text of other ids.
    vocabulary = said["model"]["vocab"]
    one, two = list(vocabulary)[100:102]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    file.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(UsageError, match="is not that of the served model"):
        open_served(finished_run, EngineShape(draft=other))


@pytest.mark.parametrize(
    ("shape", "said"), [(EngineShape(weights="int8"), "--weights int8"), (EngineShape(draft=Path("small")), "--draft small")]
)
def test_llama_cpp_takes_neither_other_weights_nor_a_draft(finished_run: Path, shape: EngineShape, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_served(finished_run / "exports" / "gguf" / "model-F16.gguf", shape)


@pytest.mark.parametrize("place", [".", "pretrain", "exports/hf"])
def test_what_lies_in_a_run_can_be_looked_up_in_its_training_data(run_copy: Path, place: str) -> None:
    model = open_served(run_copy / place, EngineShape(slots=1, device="cpu"))
    assert model.engine.identity["device"] == "cpu"
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
