"""Sections of one training stage."""

from hypothesis import given
from hypothesis import strategies as st

from pellucid.recipe.training import ScheduleConfig, TrainStageConfig


@given(st.integers(1, 10**13), st.integers(1, 64), st.integers(2, 4096))
def test_steps_cover_the_length_and_no_step_is_too_many(length: int, sequences: int, seq: int) -> None:
    stage = TrainStageConfig(
        name="p",
        length_tokens=length,
        batch_tokens=sequences * seq,
        seq_tokens=seq,
        micro_seqs=1,
        schedule=ScheduleConfig(peak_lr=1e-3),
    )
    assert stage.batch_seqs == sequences
    assert (stage.total_steps - 1) * stage.batch_tokens < length <= stage.total_steps * stage.batch_tokens
