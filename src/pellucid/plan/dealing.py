"""Over how many devices a stage's batch can be dealt out: what training refuses is known to the plan."""

import math

from pellucid.recipe.training import TrainStageConfig

__all__ = ["dealing_problem", "device_counts", "smaller_tensor_ways"]


def dealing_problem(stage: TrainStageConfig, devices: int) -> str | None:
    """Return why training would refuse so many devices, or None: the same rules as those of `World.check_batch`."""
    ways = stage.parallel.tensor_ways
    if devices % ways:
        return f"parallel.tensor_ways {ways} does not divide {devices} {_devices(devices)}"
    shares = devices // ways
    if stage.batch_seqs % (shares * (stage.micro_seqs if stage.exact else 1)) == 0:
        return None
    among = f"{devices} {_devices(devices)}" if ways == 1 else f"{shares} groups of {ways} devices"
    whole = f" in whole micro-batches of {stage.micro_seqs}, as exact needs them" if stage.exact else ""
    return f"a batch of {stage.batch_seqs} sequences cannot be dealt out evenly to {among}{whole}"


def device_counts(stage: TrainStageConfig) -> list[int]:
    """Return all numbers of devices over which the stage can be dealt out, from the smallest."""
    units = stage.batch_seqs // stage.micro_seqs if stage.exact else stage.batch_seqs
    if stage.exact and stage.batch_seqs % stage.micro_seqs:
        return []
    small = [count for count in range(1, math.isqrt(units) + 1) if units % count == 0]
    return [count * stage.parallel.tensor_ways for count in sorted({*small, *(units // count for count in small)})]


def smaller_tensor_ways(stage: TrainStageConfig, devices: int) -> list[int]:
    """Return the other `tensor_ways` with which so many devices would do, the largest first: divisors of the stage's own."""
    common = math.gcd(stage.parallel.tensor_ways, devices)
    fewer = [ways for ways in range(common, 0, -1) if common % ways == 0 and ways != stage.parallel.tensor_ways]
    return [ways for ways in fewer if dealing_problem(_with_ways(stage, ways), devices) is None]


def _with_ways(stage: TrainStageConfig, ways: int) -> TrainStageConfig:
    return stage.model_copy(update={"parallel": stage.parallel.model_copy(update={"tensor_ways": ways})})


def _devices(count: int) -> str:
    return "device" if count == 1 else "devices"
