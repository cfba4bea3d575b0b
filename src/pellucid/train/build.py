"""The model of a training stage, before anything is sharded."""

from dataclasses import dataclass
from pathlib import Path

from pellucid.adapters.lora import add_adapters
from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Decoder, init_weights
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.compilation import compile_model
from pellucid.train.device import Device
from pellucid.train.recompute import checkpoint_activations

__all__ = ["Start", "build_model"]


@dataclass(frozen=True)
class Start:
    """Where first weights lie, whatever `load_weights` reads, and a first adapter, in peft's format; None: the seed makes them."""

    weights: Path | None = None
    adapter: Path | None = None


def build_model(
    stage: TrainStageConfig, config: ModelConfig, device: Device, seed: int, start: Start | None = None
) -> tuple[Decoder, bool]:
    """Return the model with its first weights, on the CPU, its blocks as the stage wants them; and whether they are compiled.

    What was learnt before lies under the stage's adapters, frozen and, where the stage says so, quantised.
    """
    start = start or Start()
    model = Decoder(config)
    init_weights(model, derive_seed(seed, "weights"))
    # Imported where files are read: measuring steps on random weights does without the packages that this needs.
    if start.weights is not None:
        from pellucid.checkpoint.models import load_weights

        load_weights(model, start.weights)
    if stage.adapter is not None:
        add_adapters(model, stage.adapter, derive_seed(seed, "adapters", stage.name))
        if start.adapter is not None:
            from pellucid.adapters.peft_format import load_peft

            load_peft(model, start.adapter, stage.adapter)
    checkpoint_activations(model, stage.activation_checkpointing)
    return model, compile_model(model, stage.compile, device.device)
