"""What of a training stage decides what is computed, and what only how it is done, kept and shown."""

from typing import Any

from pellucid.recipe.training import TrainStageConfig

__all__ = ["FREE_TO_CHANGE", "what_is_computed"]

FREE_TO_CHANGE = frozenset(
    {"activation_checkpointing", "checkpoint", "curves", "init_from", "max_bad_steps", "parallel", "samples"}
)
"""Fields of a stage that may change before it is continued: they decide what is kept, shown and dealt out, not what is computed.

`init_from` names a place; whoever knows the weights in it knows them by their digest. So does an adapter's `init_from`.
"""


def what_is_computed(stage: TrainStageConfig) -> dict[str, Any]:
    """Return the stage's values without those that are free to change."""
    return stage.model_dump(
        mode="json", exclude={**dict.fromkeys(FREE_TO_CHANGE, True), "adapter": {"init_from"}, "heldout": {"every_steps"}}
    )
