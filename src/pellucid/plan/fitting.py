"""Which micro-batches fit a device, sharded and checkpointed in which ways; and when a stage does not fit, what would make it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pellucid.core.units import format_bytes
from pellucid.plan.dealing import dealing_problem, device_counts, smaller_tensor_ways
from pellucid.plan.devices import Device, device_named, device_names
from pellucid.plan.memory import SHARDINGS, Checkpointing, rank_memory
from pellucid.plan.roofline import Layout, step_parts
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig

__all__ = ["fit_of", "micro_batch_rows", "micro_batch_sizes"]

_MOST_DEVICES = 65_536


@dataclass(frozen=True)
class _Change:
    """A stage with something changed: what to write into the recipe, on which devices, and what that needs and takes."""

    words: str
    changes: int
    needs_bytes: int
    step_s: float
    device: Device


def micro_batch_sizes(stage: TrainStageConfig, devices: int) -> list[int]:
    """Return the numbers of sequences that divide one device's share of a batch; none when the batch itself does not divide."""
    shares = max(1, devices // stage.parallel.tensor_ways)
    if stage.batch_seqs % shares:
        return []
    share = stage.batch_seqs // shares
    return [size for size in range(1, share + 1) if share % size == 0]


def micro_batch_rows(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> list[dict[str, Any]]:
    """Return for each size of micro-batch its activations and its totals, by sharding and checkpointing, and whether they fit.

    Rows end with the first size that fits in no way, which stays as the limit. The whole share at once comes last even behind
    such a one where it fits: gradients need not add up then, which may spare more than smaller activations do.
    """
    rows: list[dict[str, Any]] = []
    sizes = micro_batch_sizes(stage, layout.devices)
    for size in sizes:
        row = _micro_batch_row(config, stage.model_copy(update={"micro_seqs": size}), device, layout)
        over = bool(rows) and not _fits_somehow(rows[-1])
        if not over or (size == sizes[-1] and _fits_somehow(row)):
            rows.append(row)
    return rows


def _micro_batch_row(config: ModelConfig, sized: TrainStageConfig, device: Device, layout: Layout) -> dict[str, Any]:
    memory = rank_memory(config, sized, layout.devices, bf16=layout.bf16)
    totals = {name: _by_mode(memory[name]) for name in (SHARDINGS if layout.devices > 1 else SHARDINGS[:1])}
    activations = {
        mode: rank_memory(config, sized.model_copy(update={"activation_checkpointing": mode}), 1, bf16=layout.bf16)["none"][
            "activations"
        ]
        for mode in get_args(Checkpointing)
    }
    return {
        "micro_seqs": sized.micro_seqs,
        "accumulation_steps": layout.micro_steps(sized),
        "activations": activations,
        "total": totals,
        "fits": {name: {mode: need <= device.usable_bytes for mode, need in total.items()} for name, total in totals.items()},
    }


def _fits_somehow(row: dict[str, Any]) -> bool:
    return any(any(by_mode.values()) for by_mode in row["fits"].values())


def _by_mode(row: dict[str, Any]) -> dict[str, int]:
    return {"none": row["total_none"], "selective": row["total_selective"], "block": row["total_checkpointed"]}


def fit_of(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> dict[str, Any]:
    """Return whether a stage fits as the recipe has it, and where it does not, the cheapest change that makes it: `fix`, one line.

    To fit is to have the memory, and to be dealt out evenly: `refused` says why training would not begin on so many devices. The
    fewest keys to change come first, and among them the change whose step takes the least time; then more devices of the kind, then
    another kind. Where the number of devices itself is refused, the nearest that does comes first. `fix` is None where it fits, or
    where nothing that is known would do.
    """
    shard = stage.parallel.shard if layout.devices > 1 else "none"
    needs = rank_memory(config, stage, layout.devices, bf16=layout.bf16)[shard]["total"]
    refused = dealing_problem(stage, layout.devices)
    fits = refused is None and needs <= device.usable_bytes
    found = None if fits else _cheapest(config, stage, device, layout, refused is not None)
    return {
        "fits": fits,
        "refused": refused,
        "needs_bytes": needs,
        "usable_bytes": device.usable_bytes,
        "with_runtime_bytes": needs + device.runtime_bytes,
        "fix": None
        if found is None
        else _told(found, step_parts(config, stage, device, layout)["likely"].total_s, refused is None),
        "fixed_needs_bytes": None if found is None else found.needs_bytes,
    }


def _told(found: _Change, step_s: float, compares: bool) -> str:
    text = f"{found.words} needs {format_bytes(found.needs_bytes)}"
    if compares and found.step_s > step_s * 1.005:
        text += f", each step {found.step_s / step_s - 1:.0%} longer"
    return text


def _cheapest(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout, refused: bool) -> _Change | None:
    what = config, stage, device, layout
    searches = [_dealt_otherwise(*what) if refused else _other_keys(*what), _more_devices(*what)]
    if not refused:  # another kind of device would be refused in the same number
        searches.append(_other_kinds(config, stage, layout))
    for ways in searches:
        fitting = [way for way in ways if way.needs_bytes <= way.device.usable_bytes]
        if fitting:
            return min(fitting, key=lambda way: (way.changes, way.step_s))
    return None


def _dealt_otherwise(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> Iterator[_Change]:
    """Yield the stage as it is on every number of devices that it can be dealt out to, and with other `tensor_ways` on these."""
    for ways in smaller_tensor_ways(stage, layout.devices):
        changed = stage.model_copy(update={"parallel": stage.parallel.model_copy(update={"tensor_ways": ways})})
        yield _changed(f"parallel.tensor_ways {ways}", 1, (config, changed, device, layout))
    for count in device_counts(stage):
        words = f"on {count} {'device' if count == 1 else 'devices'} it"
        yield _changed(words, 1 + abs(count - layout.devices), (config, stage, device, Layout(count, layout.bf16)))


def _other_keys(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> Iterator[_Change]:
    """Yield every micro-batch with every way of checkpointing and sharding; tensor parallelism stays as it is.

    Larger ones too: the whole share at once may need less than adding gradients up.
    """
    shardings = SHARDINGS if layout.devices > 1 and not stage.exact else (stage.parallel.shard,)
    for size in micro_batch_sizes(stage, layout.devices):
        for mode in get_args(Checkpointing):
            for shard in shardings:
                words = []
                if size != stage.micro_seqs:
                    words.append(f"micro_seqs {size}")
                if mode != stage.activation_checkpointing:
                    words.append(f"activation_checkpointing {mode}")
                if shard != stage.parallel.shard:
                    words.append(f"parallel.shard {shard}")
                if words:
                    changed = stage.model_copy(
                        update={
                            "micro_seqs": size,
                            "activation_checkpointing": mode,
                            "parallel": stage.parallel.model_copy(update={"shard": shard}),
                        }
                    )
                    yield _changed(" with ".join(words), len(words), (config, changed, device, layout))


def _changed(words: str, changes: int, what: tuple[ModelConfig, TrainStageConfig, Device, Layout]) -> _Change:
    config, stage, device, layout = what
    row = rank_memory(config, stage, layout.devices, bf16=layout.bf16)[stage.parallel.shard if layout.devices > 1 else "none"]
    return _Change(words, changes, row["total"], step_parts(config, stage, device, layout)["likely"].total_s, device)


def _leanest(stage: TrainStageConfig, devices: int) -> Iterator[tuple[str, TrainStageConfig]]:
    """Yield the stage as it takes the least memory, in words and as it is then: blocks computed again, everything sharded.

    Either one sequence at a time, or the whole share at once, where no gradients add up; which is less depends on the model.
    """
    shard = "none" if stage.exact else "full"
    sizes = micro_batch_sizes(stage, devices)
    for size in sorted({sizes[0], sizes[-1]}):
        words = f"micro_seqs {size} with activation_checkpointing block with parallel.shard {shard}"
        parallel = stage.parallel.model_copy(update={"shard": shard})
        yield words, stage.model_copy(update={"micro_seqs": size, "activation_checkpointing": "block", "parallel": parallel})


def _more_devices(config: ModelConfig, stage: TrainStageConfig, device: Device, layout: Layout) -> Iterator[_Change]:
    for count in device_counts(stage):
        if layout.devices < count <= _MOST_DEVICES:
            for words, lean in _leanest(stage, count):
                yield _changed(f"on {count} devices with {words} it", count, (config, lean, device, Layout(count, layout.bf16)))


def _other_kinds(config: ModelConfig, stage: TrainStageConfig, layout: Layout) -> Iterator[_Change]:
    """Yield the stage as it is, and at its leanest, on every device of the table that computes in the same type."""
    for name in device_names():
        device = device_named(name)
        if (device.precision == "bf16") == layout.bf16:
            yield _changed(f"a device with more memory, as {name},", 1, (config, stage, device, layout))
            for words, lean in _leanest(stage, layout.devices):
                yield _changed(f"{name} with {words}", 4, (config, lean, device, layout))
