import pytest
from pydantic import TypeAdapter, ValidationError

from pellucid.recipe.cleaning import C4Step, GopherRepetitionStep, StepConfig

STEP: TypeAdapter[StepConfig] = TypeAdapter(StepConfig)


def test_a_step_is_known_by_its_name() -> None:
    assert STEP.validate_python({"step": "c4", "min_sentences": 3}) == C4Step(step="c4", min_sentences=3)


def test_thresholds_by_n_are_read_from_yaml_keys() -> None:
    step = STEP.validate_python({"step": "gopher_repetition", "max_top_ngram_char_frac": {"2": 0.5}})
    assert isinstance(step, GopherRepetitionStep) and step.max_top_ngram_char_frac == {2: 0.5}


@pytest.mark.parametrize("bad", [{"step": "c5"}, {}, {"step": "c4", "min_word": 3}, {"step": "pii", "kinds": []}])
def test_unknown_steps_and_keys_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        STEP.validate_python(bad)
