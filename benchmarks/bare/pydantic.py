"""As much of pydantic as a recipe's sections need to hold values, for GPU machines where nothing can be installed.

`benchmarks/gpu_pretrain.py` puts this folder at the end of the module path, so that what is installed comes first. Defaults are
filled in, unknown and missing keys refused; no value is checked or converted. For benchmarks only: the package needs the real one.
"""

import copy
import inspect
from typing import Any

__all__ = ["BaseModel", "ConfigDict", "Field"]


def Field(default: Any = ..., **_: Any) -> Any:  # noqa: N802
    """Return the default itself: it becomes the class attribute that `BaseModel` looks at."""
    return default


def ConfigDict(**options: Any) -> dict[str, Any]:  # noqa: N802
    return options


class BaseModel:
    def __init__(self, **values: Any) -> None:
        fields = [name for cls in reversed(type(self).__mro__) for name in inspect.get_annotations(cls)]
        unknown = sorted(values.keys() - set(fields))
        missing = [name for name in fields if values.get(name, getattr(type(self), name, ...)) is ...]
        if unknown or missing:
            raise TypeError(f"{type(self).__name__}: unknown {unknown}, missing {missing}")
        for name in fields:
            self.__dict__[name] = values.get(name, getattr(type(self), name, None))

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        other = copy.copy(self)
        other.__dict__.update(update)
        return other
