"""A recipe as far as it is valid, so that combinations are checked even when single values are wrong."""

from collections.abc import Mapping
from typing import Any, NoReturn

from pellucid.recipe.problems import Loc, section_in, sections_in
from pellucid.recipe.section import Section

__all__ = ["UnknownValueError", "assemble"]


class UnknownValueError(Exception):
    """A check asked for a value that is itself wrong; that is reported already, so the check has nothing to say."""


class _Unknown:
    """Stands for a wrong or missing value: whatever is done with it raises `UnknownValueError`."""

    def _refuse(self, *_: object) -> NoReturn:
        raise UnknownValueError

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __pow__ = __rpow__ = _refuse
    __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = __neg__ = __int__ = __float__ = __index__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __bool__ = __iter__ = __len__ = __contains__ = __str__ = __format__ = __hash__ = _refuse

    def __getattr__(self, name: str) -> NoReturn:
        raise UnknownValueError


UNKNOWN: Any = _Unknown()


def assemble(section: type[Section], raw: Any, wrong: set[Loc], loc: Loc = ()) -> Any:
    """Build a section from plain values without validating it; values at the places in `wrong` become unknown.

    Use only with the places where validation of the same `raw` failed: everything else is known to be right.
    """
    if loc in wrong or not isinstance(raw, Mapping):
        return UNKNOWN
    values = {}
    for name, field in section.model_fields.items():
        here = (*loc, name)
        inner = sections_in(field.annotation)
        if name not in raw:
            values[name] = UNKNOWN if field.is_required() else field.get_default(call_default_factory=True)
        elif here in wrong or (not inner and any(place[: len(here)] == here for place in wrong)):
            values[name] = UNKNOWN
        elif not inner or raw[name] is None:
            values[name] = raw[name]
        elif isinstance(raw[name], list):
            values[name] = tuple(_item(field.annotation, item, wrong, (*here, index)) for index, item in enumerate(raw[name]))
        else:
            values[name] = assemble(inner[0], raw[name], wrong, here)
    return section.model_construct(**values)


def _item(annotation: Any, raw: Any, wrong: set[Loc], loc: Loc) -> Any:
    """Build one item of a list, of the section that it says it is where there are several."""
    section = section_in(annotation, raw.get("step") if isinstance(raw, Mapping) else None)
    return UNKNOWN if section is None else assemble(section, raw, wrong, loc)
