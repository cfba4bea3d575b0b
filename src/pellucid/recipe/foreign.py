"""What another program says about its model: values read by name, and everything that cannot be taken over named at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from pellucid.core.errors import ArtifactError
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.problems import show_value

__all__ = ["ForeignFields"]

T = TypeVar("T")

# Nothing that counts parts of a model is larger; what is made from such a number need not be bounded anew.
_MOST = 2**31 - 1


class ForeignFields:
    """The fields of one file. Reading a wrong one notes a fault and returns a stand-in; `raise_faults` tells them all."""

    def __init__(self, file: Path, values: Mapping[str, Any]) -> None:
        self.file = file
        self._values = {name: value for name, value in values.items() if value is not None}
        self._unread = set(self._values)
        self._faults: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def integer(self, name: str, default: int | None = None, most: int = _MOST) -> int:
        """Return a whole number from 1 to `most`; without a default the field must be there."""
        value = self._take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return self.refuse(name, value, "must be a whole number of 1 or more", 1)
        return value if value <= most else self.refuse(name, value, f"must be at most {most}", 1)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number above 0; without a default the field must be there."""
        value = self._take(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        return self.refuse(name, value, "must be a number above 0", 1.0)

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self._take(name, default)
        return value if isinstance(value, bool) else self.refuse(name, value, "must be true or false", default)

    def must_be(self, name: str, *allowed: Any) -> None:
        """Refuse a field that is there with another value: what it asks for, the decoder does not compute."""
        value = self._take(name, allowed[0])
        if value not in allowed:
            self.refuse(name, value, f"the decoder has only {' or '.join(show_value(one) for one in allowed)}", None)

    def skip(self, names: Iterable[str]) -> None:
        """Leave out fields that say nothing about what is computed."""
        self._unread -= set(names)

    def unread(self, prefix: str = "") -> dict[str, Any]:
        """Return the fields that begin with `prefix` and that nothing has asked for."""
        return {name: self._values[name] for name in sorted(self._unread) if name.startswith(prefix)}

    def refuse_unread(self, prefix: str = "") -> None:
        """Refuse the fields that begin with `prefix` and that nothing has asked for."""
        for name, value in self.unread(prefix).items():
            self.refuse(name, value, "the decoder knows no such field", None)
            self._unread.discard(name)

    def raise_faults(self) -> None:
        """Raise `ArtifactError` with one line for each fault, if there is one."""
        if self._faults:
            raise ArtifactError(f"{self.file} describes a model that cannot be imported\n  " + "\n  ".join(self._faults))

    def model_config(self, **values: Any) -> ModelConfig:
        """Return the `ModelConfig` of these values; raise `ArtifactError` with all faults, or when they are out of range."""
        self.raise_faults()
        try:
            return ModelConfig(**values)
        except ValidationError as error:
            for one in error.errors():
                self.refuse(".".join(map(str, one["loc"])), one["input"], one["msg"], None)
            self.raise_faults()
            raise

    def refuse(self, name: str, value: Any, reason: str, stand_in: T) -> T:
        """Note a fault (None: the field is missing) and return the stand-in."""
        self._faults.append(f"{name}: missing" if value is None else f"{name}: got {show_value(value)}; {reason}")
        return stand_in

    def _take(self, name: str, default: Any) -> Any:
        self._unread.discard(name)
        return self._values.get(name, default)
