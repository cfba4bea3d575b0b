"""The order of data that a training stage asks for."""

from collections.abc import Mapping

from pellucid.batches.cross_lingual import CrossLingualOrder
from pellucid.batches.order import DataOrder, Stream
from pellucid.batches.packed import PackedOrder
from pellucid.recipe.training import TrainStageConfig

__all__ = ["open_order"]


def open_order(streams: Mapping[str, Stream], weights: Mapping[str, float], stage: TrainStageConfig, seed: int) -> DataOrder:
    """Return the order by the stage's attention and packing; raise `DataError` when it cannot be served (see `DataOrder`)."""
    if stage.attention == "cross_lingual":
        return CrossLingualOrder(streams, weights, stage.seq_tokens, seed, stage.lingual_parts)
    if stage.packing == "best_fit":
        return PackedOrder(streams, weights, stage.seq_tokens, seed, stage.attention)
    return DataOrder(streams, weights, stage.seq_tokens, seed, stage.attention)
