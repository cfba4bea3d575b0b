"""The machine that makes a plan, measured once and kept in the run beside the plan that was made with it."""

from pathlib import Path

from pellucid.core.files import read_json
from pellucid.plan.devices import HERE, Device, read_devices
from pellucid.recipe.recipe import Recipe

__all__ = ["MACHINE", "machine_here"]

MACHINE = "machine.json"


def machine_here(recipe: Recipe, run: Path | None = None) -> Device | None:
    """Return what `plan.device: here` means, or None where the recipe names another device.

    That is what the run's plan was made with, where there is a run that has one; else this machine, measured now.
    """
    if recipe.plan.device != HERE:
        return None
    if run is not None and (run / "plan" / MACHINE).is_file():
        return read_devices(read_json(run / "plan" / MACHINE))
    from pellucid.train.calibrate import measure_machine
    from pellucid.train.device import pick_device

    return measure_machine(pick_device(recipe.train[0].precision if recipe.train else "auto"))
