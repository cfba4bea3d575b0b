"""The model of a training stage, before anything is sharded."""

from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.compilation import compile_model
from pellucid.train.device import Device
from pellucid.train.recompute import checkpoint_activations

__all__ = ["build_model"]


def build_model(stage: TrainStageConfig, config: ModelConfig, device: Device, seed: int) -> tuple[Decoder, bool]:
    """Return the model with fresh weights, on the CPU, its blocks as the stage wants them; and whether they are compiled."""
    model = Decoder(config)
    init_weights(model, derive_seed(seed, "weights"))
    checkpoint_activations(model, stage.activation_checkpointing)
    return model, compile_model(model, stage.compile, device.device)
