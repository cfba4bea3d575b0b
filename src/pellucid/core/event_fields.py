"""What the fields of a ledger's events must be. A chain that holds says that lines were not edited, not that they say anything."""

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["wrong_field"]

_OF_ATTEMPTS = frozenset({"start", "alive", "steps_skipped", "end", "stop", "failure", "killed"})
_MOST_PID = 2**31 - 1

Rule = tuple[Callable[[Any], bool], str]


def wrong_field(event: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the first field of an attempt's event that cannot be read as what it is; None for a sound one.

    Fields that are not there are sound, and so are events of other kinds: ledgers of earlier versions lack some, later ones may
    have more.
    """
    name = event.get("event")
    if not isinstance(name, str) or name not in _OF_ATTEMPTS:
        return None
    if name == "steps_skipped" and "steps" not in event:
        return "steps: is missing"
    for place, (holds, wanted) in _RULES.items():
        value = _at(event, place)
        if value is not None and not holds(value):
            return f"{place}: got {value!r:.60}; must be {wanted}"
    return None


def _at(event: Mapping[str, Any], place: str) -> Any:
    value: Any = event
    for key in place.split("."):
        # What holds it is no mapping: its own rule, which comes first, says so.
        value = value.get(key)
        if value is None:
            return None
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


_TEXT: Rule = (lambda value: isinstance(value, str), "a text")
_MAPPING: Rule = (lambda value: isinstance(value, dict), "a mapping")
_YES_NO: Rule = (lambda value: isinstance(value, bool), "true or false")
_COUNT: Rule = (lambda value: _is_whole(value) and value >= 1, "a whole number from 1")
_AMOUNT: Rule = (_is_amount, "a number from 0")
_STEPS: Rule = (lambda value: isinstance(value, list) and all(map(_is_whole, value)), "a list of whole numbers")
_TEXTS: Rule = (lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value), "a list of texts")

# Each mapping comes before what is in it.
_RULES: dict[str, Rule] = {
    **dict.fromkeys(("at", "stage", "message", "folder", "manifest"), _TEXT),
    **dict.fromkeys(("device", "process", "energy", "summary", "energy.missing"), _MAPPING),
    "attempt": _COUNT,
    "continues": _YES_NO,
    "device.count": _COUNT,
    "process.pid": (lambda value: _is_whole(value) and 1 <= value <= _MOST_PID, f"a whole number from 1 to {_MOST_PID}"),
    "process.host": _TEXT,
    "process.since": _TEXT,
    "process.holds_run": _YES_NO,
    "seconds": _AMOUNT,
    "energy.joules": _AMOUNT,
    "energy.cpu_s": _AMOUNT,
    "energy.kind": _TEXT,
    "energy.counters": _TEXTS,
    "steps": _STEPS,
}
