"""A template that is ready to be used: phrasings cut into literal text and placeholders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pellucid.recipe.template import TemplateFieldConfig

__all__ = ["Phrasing", "Template", "parse_phrasing"]

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}\n]*)\}|[{}]")


@dataclass(frozen=True)
class Phrasing:
    """Literal texts and names of placeholders, in turn: text, name, text, name, …, text."""

    parts: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the placeholders in order, with repetitions."""
        return self.parts[1::2]

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with each placeholder's value as it is: braces in a value mean nothing."""
        return "".join(values[part] if index % 2 else part for index, part in enumerate(self.parts))


def parse_phrasing(text: str) -> Phrasing:
    """Cut a phrasing at its placeholders. Raises `ValueError` that shows a brace that stands alone or a name that is empty."""
    parts, literal, end = [], "", 0
    for match in _BRACES.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is not None and match[1].strip():
            parts += [literal, match[1].strip()]
            literal = ""
        else:
            shown = text[max(0, match.start() - 15) : match.end() + 15]
            what = "the placeholder {} has no name" if match[1] is not None else f"a {match[0]!r} stands alone"
            raise ValueError(f"{what}, in {shown!r}")
    return Phrasing((*parts, literal + text[end:]))


@dataclass(frozen=True)
class Template:
    """Fields by placeholder, and phrasings: those for a language, or those for all others."""

    name: str
    fields: Mapping[str, TemplateFieldConfig]
    phrasings: tuple[Phrasing, ...]
    languages: Mapping[str, tuple[Phrasing, ...]]

    @property
    def required(self) -> tuple[str, ...]:
        """Return the paths that every record must have."""
        return self._paths(optional=False)

    @property
    def optional(self) -> tuple[str, ...]:
        """Return the paths that a record may have."""
        return self._paths(optional=True)

    def _paths(self, *, optional: bool) -> tuple[str, ...]:
        fields = [(name, field) for name, field in self.fields.items() if field.optional == optional]
        return tuple(path for name, field in fields for path in (field.path or name, field.pick, field.labels) if path)
