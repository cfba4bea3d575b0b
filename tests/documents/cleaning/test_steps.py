from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.steps import build_steps
from pellucid.recipe.cleaning import StepConfig

ARPA = (
    "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-1\t<unk>\n0\t<s>\t0\n-1\t</s>\n-1\tthe\t0\n\n"
    "\\2-grams:\n-1\t<s> the\n\n\\end\\\n"
)
SECTIONS = get_args(get_args(StepConfig)[0])
TEXT = "The cats sat on the mat and the dogs lay beside them with their bones. " * 8


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(get_args(section.model_fields["step"].annotation)[0]))
def test_every_step_of_a_recipe_can_be_built_and_run(section: type, tmp_path: Path) -> None:
    (name,) = get_args(section.model_fields["step"].annotation)  # type: ignore[attr-defined]
    if name == "perplexity":
        pytest.importorskip("kenlm")
        (tmp_path / "tiny.arpa").write_text(ARPA)
    fields = {"model": "tiny.arpa"} if name == "perplexity" else {}
    config = TypeAdapter(StepConfig).validate_python({"step": name, **fields})
    (step,) = build_steps([config], tmp_path)
    batch = TextBatch([TEXT, "", "...\n" * 200], ["en", "und", "und"])
    step(batch)
    assert len(batch) == 3 and all(
        (reason is None) == bool(alive) for reason, alive in zip(batch.reasons, batch.alive_N, strict=True)
    )
    if name == "perplexity":
        assert batch.scores["perplexity"][0] > 1


def test_steps_run_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    configs = TypeAdapter(tuple[StepConfig, ...]).validate_python(({"step": "unicode"}, {"step": "gopher_quality"}))
    batch = TextBatch(["caf\u0065\u0301", TEXT], ["en", "en"])
    for step in build_steps(configs, tmp_path):
        step(batch)
    assert batch.texts[0] == "caf\u00e9" and batch.reasons[0] == "gopher: too few words"


def test_a_step_is_built_once_for_all_partitions_of_a_process(tmp_path: Path) -> None:
    configs = TypeAdapter(tuple[StepConfig, ...]).validate_python(({"step": "unicode"}, {"step": "unicode", "form": "nfkc"}))
    first, other = build_steps(configs, tmp_path)
    assert build_steps(configs, tmp_path) == [first, other] and first is not other
