from pathlib import Path

import pytest

from pellucid.core.errors import UsageError
from pellucid.stages.served import EngineShape, open_served


def test_an_export_in_gguf_is_served_by_llama_cpp_with_its_own_chat_format(finished_run: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = open_served(finished_run / "exports" / "gguf", EngineShape(slots=2, threads=1))
    try:
        assert model.name == f"{finished_run.name}-export-gguf" and model.chat is not None
        facts = model.engine.identity
        assert (facts["engine"], facts["slots"], len(facts["digest"])) == ("llama.cpp", 2, 64)
        assert model.tokenizer.decode(model.encode("Die Würde")) == "Die Würde"
    finally:
        model.engine.close()


def test_a_context_beyond_the_models_and_shapes_of_nothing_are_refused(finished_run: Path) -> None:
    with pytest.raises(UsageError, match="was trained for"):
        open_served(finished_run / "exports" / "gguf", EngineShape(context_tokens=10**6))
    with pytest.raises(UsageError, match="--slots 0"):
        EngineShape(slots=0)
