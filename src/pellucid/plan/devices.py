"""The table of devices: peak, memory, links, power, price and the shares of them that training reaches, each with its source."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pellucid.core.errors import Problem, RecipeError, UsageError
from pellucid.recipe.merge import suggest
from pellucid.recipe.recipe import Recipe
from pellucid.recipe.section import Section
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["HERE", "Device", "Range", "device_named", "device_names", "planned_on", "read_devices"]

TABLE = Path(__file__).parent / "devices.yaml"

HERE = "here"
"""Instead of a row of the table: the machine that makes the plan, as it was measured."""

_MOST_DEVICES = 1_000_000


class Range(Section):
    """A figure that is not known exactly: what to expect, and between which bounds."""

    low: float = Field(ge=0)
    likely: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low <= self.likely <= self.high:
            raise ValueError(f"must be in order: low {self.low:g}, likely {self.likely:g}, high {self.high:g}")
        return self


class Device(Section):
    """One kind of device, as planned with. Ranges of `compute_frac` and `memory_frac` are shares of peak and of bandwidth."""

    title: str
    precision: Literal["bf16", "fp32"]
    peak_flops: float = Field(gt=0, description="Dense floating-point operations per second at `precision`.")
    memory_bytes: int = Field(gt=0)
    runtime_bytes: int = Field(ge=0, description="What of the memory is taken before the first tensor.")
    bandwidth_bytes_per_s: float = Field(gt=0)
    power_w: Range = Field(description="While it trains; `high` is the rated power of the whole device.")
    cores: int | None = Field(None, ge=1, description="Of a processor: how many cores its figures are of. A GPU has none.")
    price_per_hour: Range = Field(description="US dollars.")
    devices_per_node: int = Field(ge=1)
    link_bytes_per_s: float = Field(gt=0, description="Into one device from the others of its machine.")
    network_bytes_per_s: float = Field(gt=0, description="Into one machine from the others.")
    compute_frac: Range
    memory_frac: Range
    sources: dict[str, str]

    @property
    def usable_bytes(self) -> int:
        """Memory that is left for tensors."""
        return self.memory_bytes - self.runtime_bytes


@cache
def _table() -> dict[str, Device]:
    tree = parse_yaml(TABLE.read_text(encoding="utf-8"), Stamp("given", TABLE.name))
    assert isinstance(tree, dict)
    return {name: read_devices(plain(row)) for name, row in tree.items()}


def read_devices(row: dict[str, Any]) -> Device:
    """Return a device from its figures, as the table and `plan.json` hold them."""
    return Device.model_validate_json(json.dumps(row), strict=True)


def device_names() -> list[str]:
    """Return the names in the table."""
    return list(_table())


def device_named(name: str, recipe: str = "the recipe") -> Device:
    """Return a row of the table; raise `RecipeError` naming the nearest row when there is none of that name."""
    if name in _table():
        return _table()[name]
    known = [*device_names(), HERE]
    near = suggest(name, known)
    fix = f"did you mean {near}?" if near else ""
    raise RecipeError(recipe, [Problem("plan.device", f"got {name!r}; must be one of {', '.join(known)}", fix)])


def planned_on(recipe: Recipe, where: str) -> Recipe:
    """Return the recipe with the device and number of devices of `--on`: '512xA100-40GB', 'H100' (one of them) or 'here'.

    A price and an achieved share of the recipe were meant for its own device, so another kind takes the table's.
    Raises `UsageError` for what is none of these.
    """
    found = re.fullmatch(r"(?:(-?\d[\d_]*)\s*[x×*]\s*)?(.+)", where.strip())
    if found is None:
        raise UsageError(f"--on: got {where!r}; write COUNTxDEVICE, for example 8xH100, or one of {_choices()}")
    count, name = int(found[1] or 1), found[2].strip()
    folded = {known.lower(): known for known in (*device_names(), HERE)}
    if name.lower() not in folded:
        begun = [known for short, known in folded.items() if short.startswith(name.lower())]
        near = begun[0] if begun else suggest(name, list(folded.values()))
        raise UsageError(f"--on: got {where!r}; there is no device {name!r}, only {_choices()}" + _meant(near, found[1]))
    if not 1 <= count <= _MOST_DEVICES:
        raise UsageError(f"--on: got {where!r}; the number of devices must be from 1 to {_MOST_DEVICES}")
    name = folded[name.lower()]
    changes: dict[str, Any] = {"device": name, "devices": count}
    if name != recipe.plan.device:
        changes |= {"price_per_device_hour": None, "achieved_flops_frac": None}
    return recipe.model_copy(update={"plan": recipe.plan.model_copy(update=changes)})


def _choices() -> str:
    return f"{', '.join(device_names())} or {HERE} (this machine)"


def _meant(near: str | None, count: str | None) -> str:
    return f"; did you mean {count}x{near}?" if near and count else f"; did you mean {near}?" if near else ""
