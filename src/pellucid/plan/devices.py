"""The table of devices: peak, memory, power and price, with where each figure is from."""

import json
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from pellucid.core.errors import Problem, RecipeError
from pellucid.recipe.merge import suggest
from pellucid.recipe.section import Section
from pellucid.recipe.tree import Stamp, parse_yaml, plain

__all__ = ["Device", "device_named", "device_names"]

TABLE = Path(__file__).parent / "devices.yaml"


class Device(Section):
    """One kind of device, as planned with."""

    title: str
    peak_flops: float = Field(gt=0, description="Dense floating-point operations per second at `precision`.")
    precision: Literal["bf16", "fp32"]
    memory_bytes: int = Field(gt=0)
    bandwidth_bytes_per_s: float = Field(gt=0)
    power_w: float = Field(gt=0, description="Rated power of the whole device: an upper bound of what it draws.")
    cores: int | None = Field(None, ge=1, description="Of a processor: how many cores its figures are of. A GPU has none.")
    price_per_hour: float = Field(ge=0, description="US dollars.")
    typical_frac: float = Field(gt=0, le=1, description="Share of the peak to expect, by the with_attention formula.")
    sources: tuple[str, ...]


@cache
def _table() -> dict[str, Device]:
    tree = parse_yaml(TABLE.read_text(encoding="utf-8"), Stamp("given", TABLE.name))
    assert isinstance(tree, dict)
    return {name: Device.model_validate_json(json.dumps(plain(row)), strict=True) for name, row in tree.items()}


def device_names() -> list[str]:
    """Return the names in the table."""
    return list(_table())


def device_named(name: str, recipe: str = "the recipe") -> Device:
    """Return a row of the table; raise `RecipeError` naming the nearest row when there is none of that name."""
    if name in _table():
        return _table()[name]
    near = suggest(name, device_names())
    fix = f"did you mean {near}?" if near else ""
    raise RecipeError(recipe, [Problem("plan.device", f"got {name!r}; must be one of {', '.join(device_names())}", fix)])
