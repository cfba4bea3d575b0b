from pellucid.recipe.computed import FREE_TO_CHANGE, what_is_computed
from pellucid.recipe.training import CheckpointConfig, ScheduleConfig, TrainStageConfig

STAGE = TrainStageConfig(
    name="a", length_tokens=64, batch_tokens=64, seq_tokens=8, micro_seqs=8, schedule=ScheduleConfig(peak_lr=1e-3)
)


def test_what_is_kept_and_shown_is_no_part_of_what_is_computed() -> None:
    other = STAGE.model_copy(update={"checkpoint": CheckpointConfig(every_steps=3), "max_bad_steps": 9})
    assert what_is_computed(other) == what_is_computed(STAGE)
    assert not FREE_TO_CHANGE & what_is_computed(STAGE).keys()


def test_length_rate_and_seed_of_data_are() -> None:
    for change in ({"length_tokens": 128}, {"schedule": ScheduleConfig(peak_lr=2e-3)}, {"z_loss": 1e-4}, {"weights": {"a": 1.0}}):
        assert what_is_computed(STAGE.model_copy(update=change)) != what_is_computed(STAGE)
