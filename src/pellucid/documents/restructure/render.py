"""A record put into one of a template's phrasings."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.core.seeds import derive_seed
from pellucid.documents.fields import get_path, whole_number
from pellucid.documents.restructure.template import Phrasing, Template
from pellucid.recipe.template import TemplateFieldConfig

__all__ = ["TemplateMissError", "render"]

_LIST_FORMS = {"bullets": ("- ", "\n"), "lines": ("", "\n"), "commas": ("", ", ")}


class TemplateMissError(Exception):
    """A record does not fit a template; carries the reason that is counted and a detail to read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def render(template: Template, record: Mapping[str, Any], seed: int, key: Sequence[str | int], language: str | None = None) -> str:
    """Return the record in one of the template's phrasings, which is a pure function of `seed` and `key` (source and id).

    Chosen is among the phrasings for the record's language, or else those for all, whose fields the record has; and of these among
    those that use most of its optional fields, so that a context that is there is never left out.

    Raises `TemplateMissError` when a field is missing (or empty, or a label that `map` does not name), or is no text.
    """
    values = {}
    for name, field in template.fields.items():
        value = _text(field, name, record)
        if value is not None:
            values[name] = value
        elif not field.optional:
            raise TemplateMissError("template: field missing", _missing(field, name, record))
    code = (language or "").partition("-")[0].lower()
    fitting = [one for one in template.languages.get(code, template.phrasings) if all(name in values for name in one.names)]
    if not fitting:
        lacking = ", ".join(name for name in template.fields if name not in values)
        raise TemplateMissError("template: field missing", f"fits no phrasing of template {template.name}: it lacks {lacking}")
    most = max(_optional_names(template, one) for one in fitting)
    fitting = [one for one in fitting if _optional_names(template, one) == most]
    return fitting[derive_seed(seed, "phrasing", *key) % len(fitting)].fill(values)


def _optional_names(template: Template, phrasing: Phrasing) -> int:
    return sum(template.fields[name].optional for name in set(phrasing.names))


def _missing(field: TemplateFieldConfig, name: str, record: Mapping[str, Any]) -> str:
    path = field.path or name
    value = get_path(record, path)
    if value is None:
        return f"has no field {path!r} (its fields: {', '.join(list(record)[:12]) or 'none'})"
    wrong = f", which is not in {field.pick}" if field.pick else ", which map does not name" if field.map else ""
    return f"has {str(value)[:40]!r} in {path!r}{wrong}"


def _text(field: TemplateFieldConfig, name: str, record: Mapping[str, Any]) -> str | None:
    """Return a placeholder's text, or None when the record has nothing for it."""
    value = get_path(record, field.path or name)
    if value is None:
        return None
    if field.pick is not None:
        value = _picked(field, value, record)
    elif field.map:
        value = field.map.get(_scalar(value, field.path or name))
    elif field.list is not None and isinstance(value, Sequence) and not isinstance(value, str):
        value = _listed(field.list, [_scalar(item, field.path or name) for item in value if item is not None])
    if value is None:
        return None
    text = _scalar(value, field.path or name)
    if field.before is not None:
        text = text.partition(field.before)[0]
    if field.after is not None:
        text = text.rpartition(field.after)[2]
    if field.remove is not None:
        text = re.sub(field.remove, "", text)
    return (text if field.verbatim else text.strip()) if text.strip() else None


def _scalar(value: Any, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TemplateMissError("template: field is no text", f"has a {type(value).__name__} in {path!r}")


def _listed(form: str, items: list[str]) -> str:
    items = [item.strip() for item in items]
    if form == "letters":
        return "\n".join(f"{_letter(index)}. {item}" for index, item in enumerate(items))
    if form == "numbers":
        return "\n".join(f"{index}. {item}" for index, item in enumerate(items, start=1))
    mark, between = _LIST_FORMS[form]
    return between.join(mark + item for item in items)


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else str(index + 1)


def _picked(field: TemplateFieldConfig, value: Any, record: Mapping[str, Any]) -> Any:
    """Return the element that a number, a label or a letter means, or its letter; None when it means none."""
    items = get_path(record, field.pick or "")
    if not isinstance(items, Sequence) or isinstance(items, str):
        return None
    labels = get_path(record, field.labels) if field.labels is not None else None
    if isinstance(labels, Sequence) and not isinstance(labels, str):
        index = labels.index(value) if value in labels else -1
    else:
        name = _scalar(value, field.path or "")
        number = whole_number(name)
        if number is not None:
            index = number - field.first
        else:
            index = ord(name) - ord("A") if len(name) == 1 and "A" <= name <= "Z" else -1
    if not 0 <= index < len(items):
        return None
    return _letter(index) if field.letter else items[index]
