"""What pydantic finds, in the words a reader of the recipe would use: field, value, limit, fix."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pellucid.recipe.merge import suggest
from pellucid.recipe.section import Section

__all__ = ["Finding", "Loc", "field_text", "section_in", "sections_in", "show_value", "translate", "without_tags"]

Loc = tuple[str | int, ...]

_LIMITS = {
    "greater_than": ("gt", "must be more than {}"),
    "greater_than_equal": ("ge", "must be {} or more"),
    "less_than": ("lt", "must be less than {}"),
    "less_than_equal": ("le", "must be {} or less"),
}
_KINDS = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a section: a mapping of keys to values",
    "model_attributes_type": "must be a section: a mapping of keys to values",
    "finite_number": "must be a finite number",
}
_SUFFIXES = {"k": "e3", "m": "e6", "b": "e9", "g": "e9", "t": "e12"}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, by its place in the recipe."""

    loc: Loc
    message: str
    fix: str = ""


def field_text(loc: Loc) -> str:
    """Return a place in the recipe as errors show it: ('train', 0, 'seq_tokens') → 'train[0].seq_tokens'."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def show_value(value: Any) -> str:
    """Return a value as it would stand in the recipe, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def section_in(annotation: Any, tag: object = None) -> type[Section] | None:
    """Return the section type inside a field's annotation (`X`, `X | None`, `tuple[X, ...]`), if there is one.

    Where there are several (`A | B`), it is the one whose `step` is `tag`.
    """
    found = sections_in(annotation)
    if len(found) > 1:
        return next((section for section in found if _tag_of(section) == tag), None)
    return found[0] if found else None


def _tag_of(section: type[Section]) -> str | None:
    """Return what a section among several is known by: the only value of its `step`."""
    field = section.model_fields.get("step")
    return str(get_args(field.annotation)[0]) if field else None


def sections_in(annotation: Any) -> list[type[Section]]:
    """Return all section types inside a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return list(dict.fromkeys(found for part in get_args(annotation) for found in sections_in(part)))


def _walk(root: type[Section], loc: Loc) -> tuple[type[Section] | None, Loc]:
    """Return the section type that a place lies in, and the place without the tags that pydantic puts into it."""
    section: type[Section] | None = root
    annotation: Any = None
    place: list[str | int] = []
    for part in loc:
        if annotation is not None and isinstance(part, str):
            section, annotation = section_in(annotation, part), None
            continue
        place.append(part)
        if isinstance(part, int):
            continue
        if section is None or part not in section.model_fields:
            section = None
            continue
        inner = section.model_fields[part].annotation
        several = len(sections_in(inner)) > 1
        section, annotation = (None, inner) if several else (section_in(inner), None)
    return section, tuple(place)


def section_at(root: type[Section], loc: Loc) -> type[Section] | None:
    """Return the section type that a place lies in."""
    return _walk(root, loc)[0]


def without_tags(root: type[Section], loc: Loc) -> Loc:
    """Return a place as it stands in the recipe: pydantic also names which of several sections it took an item for."""
    return _walk(root, loc)[1]


def translate(errors: Sequence[Mapping[str, Any]], root: type[Section]) -> list[Finding]:
    """Turn pydantic's errors about `root` into findings, leaving out those that merely follow from another one."""
    mistyped = {
        (*error["loc"][:-1], near) for error in errors if error["type"] == "extra_forbidden" and (near := _near_key(error, root))
    }
    findings = []
    for error in errors:
        loc: Loc = tuple(error["loc"])
        # A list whose items failed is reported as too short as well.
        if (error["type"] == "missing" and loc in mistyped) or (error["type"] == "too_short" and error["input"]):
            continue
        finding = _finding(error, loc, root)
        findings.append(replace(finding, loc=(*without_tags(root, loc), *finding.loc[len(loc) :])))
    return findings


def _near_key(error: Mapping[str, Any], root: type[Section]) -> str | None:
    section = section_at(root, tuple(error["loc"][:-1]))
    return suggest(str(error["loc"][-1]), list(section.model_fields)) if section else None


def _finding(error: Mapping[str, Any], loc: Loc, root: type[Section]) -> Finding:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(error, loc, root)
    section = section_at(root, loc[:-1])
    described = section is not None and loc[-1] in section.model_fields
    description = (section.model_fields[str(loc[-1])].description or "") if section is not None and described else ""
    if kind == "missing":
        return Finding(loc, "missing", description)
    if kind == "not_shown":  # the value may be a secret
        return Finding(loc, error["msg"])
    got = f"got {show_value(value)}; "
    if kind in _LIMITS:
        name, limit = _LIMITS[kind]
        return Finding(loc, got + limit.format(f"{context[name]:g}" if isinstance(context[name], float) else context[name]))
    if kind == "union_tag_not_found":
        return Finding((*loc, "step"), "missing", "the name of the step")
    if kind == "union_tag_invalid":
        loc, got = (*loc, "step"), f"got {show_value(context['tag'])}; "
    if kind in ("literal_error", "union_tag_invalid"):
        choices = re.findall(r"'([^']*)'", context.get("expected") or context["expected_tags"])
        value = context.get("tag", value)
        near = suggest(str(value), choices)
        return Finding(loc, f"{got}must be one of {', '.join(choices)}", f"did you mean {near}?" if near else "")
    if kind == "too_short":
        return Finding(loc, f"must hold at least {context['min_length']}", description)
    if kind == "string_pattern_mismatch":
        digits = "A-Z" in context["pattern"]
        allowed = "letters, digits, '.', '_' and '-', a letter or digit first" if digits else "a-z, 0-9 and '_', a letter first"
        return Finding(loc, f"{got}may hold only {allowed}")
    if kind in _KINDS:
        return Finding(loc, got + _KINDS[kind], _spelling(kind, value))
    return Finding(loc, got + error["msg"][:1].lower() + error["msg"][1:])


def _unknown_key(error: Mapping[str, Any], loc: Loc, root: type[Section]) -> Finding:
    if loc[-1] == "preset":
        return Finding(loc, "unknown key; only model takes a preset")
    key = str(loc[-1])
    section = section_at(root, loc[:-1])
    near = _near_key(error, root) or _deeper(key, section) or _deeper(key, root)
    if near:
        return Finding(loc, f"unknown key; did you mean {near}?")
    return Finding(loc, "unknown key", f"known here: {', '.join(section.model_fields)}" if section else "")


def _deeper(key: str, section: type[Section] | None) -> str | None:
    """Return the field that a key is nearest to in the sections inside this one, dotted."""
    homes: dict[str, str] = {}
    for name, field in section.model_fields.items() if section else ():
        inner = section_in(field.annotation)
        for deeper in inner.model_fields if inner else ():
            homes.setdefault(deeper, f"{name}.{deeper}")
    near = suggest(key, list(homes))
    return homes[near] if near else None


def _spelling(kind: str, value: Any) -> str:
    """Return how a value of the wrong kind was probably meant."""
    if kind == "string_type" and isinstance(value, int | float):
        return f'put it in quotes: "{show_value(value)}"'
    if kind in ("int_type", "float_type", "int_from_float"):
        if isinstance(value, float) and value.is_integer():
            return f"write {int(value)}"
        match = re.fullmatch(r"\s*([0-9][0-9_,.]*)\s*([kKmMbBgGtT]?)\s*", value) if isinstance(value, str) else None
        if match and match[2]:
            return f"write {match[1].replace(',', '')}{_SUFFIXES[match[2].lower()]}"
        if match:
            return f"write {match[1].replace(',', '_')} without quotes"
    if kind == "tuple_type" and isinstance(value, str):
        return f"write [{value}]"
    return ""
