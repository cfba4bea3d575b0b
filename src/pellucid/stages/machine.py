"""The machine that makes a plan, measured once and kept in the run beside the plan that was made with it."""

from pathlib import Path
from typing import Literal

from pellucid.core.files import read_json
from pellucid.core.progress import progress
from pellucid.plan.devices import HERE, Device, device_named, read_devices
from pellucid.recipe.after import PlanConfig
from pellucid.recipe.recipe import Recipe

__all__ = ["MACHINE", "device_of", "machine_here"]

MACHINE = "machine.json"


def machine_here(recipe: Recipe, run: Path | None = None) -> Device | None:
    """Return what `plan.device: here` means, or None where the recipe names another device.

    That is what the run's plan was made with, where there is a run that has one; else this machine, measured now.
    """
    return (
        device_of(recipe.plan, run, recipe.train[0].precision if recipe.train else "auto") if recipe.plan.device == HERE else None
    )


def device_of(plan: PlanConfig, run: Path | None = None, precision: Literal["auto", "fp32", "bf16"] = "auto") -> Device:
    """Return the row that `plan.device` names; for `here` what the run's plan was made with, else this machine, measured now."""
    if plan.device != HERE:
        return device_named(plan.device)
    if run is not None and (run / "plan" / MACHINE).is_file():
        return read_devices(read_json(run / "plan" / MACHINE))
    with progress("Measuring this machine"):
        from pellucid.train.calibrate import measure_machine
        from pellucid.train.device import pick_device

        return measure_machine(pick_device(precision))
