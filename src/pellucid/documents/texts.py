"""From a record's fields to its text: one field, as it stands or as HTML, or several through a template."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pellucid.documents.fields import METADATA, get_path, root_of
from pellucid.documents.files import InputConfig, file_format
from pellucid.documents.html import main_text
from pellucid.documents.restructure.load import load_template
from pellucid.documents.restructure.render import TemplateMissError, render
from pellucid.documents.restructure.template import Template
from pellucid.recipe.data import SourceConfig

__all__ = ["TextOf", "UnfitError", "Wanted"]


class UnfitError(Exception):
    """A record has no text; carries the reason that is counted and a detail to read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Wanted:
    """Dotted paths of fields: a table must have all of `required`, and may have `optional`. `text` is the one that is the text.

    `whole` is what a file that is one record has its contents under. With `everything`, all columns are read.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    text: str | None = None
    whole: str = "text"
    everything: bool = False

    def columns(self, names: list[str], plain: Collection[str]) -> list[str]:
        """Return the columns of a table that are to be read, each once, the text's first.

        `plain` are those of strings or whole numbers: what a record says of itself is taken from these alone.
        """
        if self.everything:
            return names
        paths = [root for path in (*self.required, *self.optional) if (root := root_of(path, names)) in names]
        return list(dict.fromkeys([*paths, *(name for known in METADATA.values() for name in known if name in plain)]))

    def missing(self, source: InputConfig, file: str, path: str, has: Mapping[str, str]) -> str:
        """Return the message for a table without the column that `path` begins in; `has` gives its columns and their types."""
        shown = ", ".join(f"{name} ({kind})" for name, kind in list(has.items())[:40])
        if self.text is None:
            fix = "Choose files that have it, or change the template"
            return f"source {source.name!r}: template wants the field {path!r}, but {file} has the columns {shown}. {fix}"
        text_like = [name for name, kind in has.items() if "string" in kind or "binary" in kind]
        guess = next(iter(get_close_matches(path, text_like, 1) or text_like), None)
        wrong = "whose text column is no string" if path in has else "which has no such column"
        fix = f"Set text_column: {guess}" if guess else "Choose files with a column of strings"
        return f"source {source.name!r}: text_column is {path!r}, but {file}, {wrong}, has the columns {shown}. {fix}"


class TextOf:
    """How the records of one source become texts. `base` is the recipe's folder, `seed` chooses among a template's phrasings.

    Raises as `load_template` does when the template cannot be used.
    """

    def __init__(self, source: SourceConfig, base: Path, seed: int = 0) -> None:
        self._source, self._seed = source, seed
        self._template: Template | None = load_template(source.template, base) if source.template is not None else None
        if self._template is None:
            self.wanted = Wanted((source.text_column,), text=source.text_column, whole=source.text_column)
        else:
            self.wanted = Wanted(self._template.required, self._template.optional, whole=source.text_column)

    def __call__(self, fields: Mapping[str, Any], file: str, key: str, language: str | None) -> str:
        """Return the text of a record of `file`; `key` is its id, which chooses the phrasing. Raises `UnfitError` without one."""
        if self._template is not None:
            try:
                return render(self._template, fields, self._seed, (self._source.name, key), language)
            except TemplateMissError as error:
                raise UnfitError(error.reason, error.detail) from None
        column = self._source.text_column
        value = get_path(fields, column)
        if value is None:
            raise UnfitError("no text", _absence(fields, column))
        if not isinstance(value, str):
            raise UnfitError("text is not a string", f"has a {type(value).__name__} in {column!r}{_inside(value, column)}")
        if not value:
            raise UnfitError("empty text", f"has an empty {column!r}")
        if self._source.html or file_format(file) == "html":
            value = main_text(value)
            if value is None:
                raise UnfitError("html: no text", "holds no main text")
        return value


def _absence(fields: Mapping[str, Any], column: str) -> str:
    if column in fields:
        return f"has null in {column!r}"
    return f"has no field {column!r} (its fields: {', '.join(list(fields)[:12]) or 'none'})"


def _inside(value: Any, column: str) -> str:
    """Name the strings that lie in a mapping, each as text_column would have to be."""
    inner = [f"{column}.{key}" for key, item in value.items() if isinstance(item, str)][:4] if isinstance(value, Mapping) else []
    return f" (strings in it: {', '.join(inner)})" if inner else ""
