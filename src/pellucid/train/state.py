"""All that a step changes, so that saving it and putting it back continues to the same bits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.model.decoder import Decoder
from pellucid.optim.optimizer import ModelOptimizer

__all__ = ["Progress", "TrainState"]


@dataclass
class Progress:
    """What a run adds up as it goes. `tokens` counts every token read; `nats` and `targets` are those of applied steps.

    `targets` are what losses are divided by: pairs where a stage learns from pairs, weighted targets where they have weights.

    `skipped` holds `{"step", "sequences": [first, last], "reason"}` of each step that was not applied. `recent_losses` and
    `high_losses` are what `watch_for_spike` compares with.
    """

    step: int = 0
    tokens: int = 0
    bad_steps_in_a_row: int = 0
    nats: dict[str, float] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    recent_losses: list[float] = field(default_factory=list)
    high_losses: list[float] = field(default_factory=list)


@dataclass
class TrainState:
    """Model, optimizer and progress. `progress.step` is the number of steps done, applied or skipped."""

    model: Decoder
    optimizer: ModelOptimizer
    progress: Progress = field(default_factory=Progress)

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a checkpoint's sections. Random states are kept too, although no part of a step draws from them."""
        random = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": random,
            "progress": asdict(self.progress),
        }

    def target(self, section: str, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return a tensor for a checkpoint's to be read into: a part of it where the parameter it belongs to is such a part."""
        parameters = dict(self.model.named_parameters())
        parameter = parameters.get(name if section == "model" else name.rpartition("/")[0])
        if parameter is not None and parameter.shape == shape:
            return torch.empty_like(parameter, dtype=dtype)
        return torch.empty(shape, dtype=dtype)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the sections of a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state.get("optimizer", {}))
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["random"]["torch"])
        if torch.cuda.is_available() and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"])
