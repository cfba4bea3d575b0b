"""Sections of a template file: which fields of a record there are, and the phrasings that they are put into."""

from typing import Literal

from pydantic import Field

from pellucid.recipe.section import Section

__all__ = ["TemplateConfig", "TemplateFieldConfig"]


class TemplateFieldConfig(Section):
    """How one placeholder gets its text from a record."""

    path: str | None = Field(
        None, min_length=1, description="Where the value lies (answers.text.0); null: under the placeholder's name."
    )
    optional: bool = Field(False, description="Records may lack it; phrasings that use it are then left out.")
    map: dict[str, str] = Field({}, description="Text for each value, such as 0: negative; other values count as missing.")
    pick: str | None = Field(None, min_length=1, description="Path of a list; the value says which of its elements is meant.")
    labels: str | None = Field(None, min_length=1, description="With pick: path of the list of labels that the value is one of.")
    first: Literal[0, 1] = Field(0, description="With pick: the number of the first element.")
    letter: bool = Field(False, description="With pick: the element's letter (A, B, …) in place of the element.")
    list: Literal["letters", "numbers", "bullets", "lines", "commas"] | None = Field(None, description="How a list is written.")
    before: str | None = Field(None, min_length=1, description="Keep what comes before this text, if it is there.")
    after: str | None = Field(None, min_length=1, description="Keep what comes after the last of this text, if it is there.")
    remove: str | None = Field(None, min_length=1, description="Regular expression; what it matches is taken out.")
    verbatim: bool = Field(False, description="Keep the white space around it, as code needs.")


class TemplateConfig(Section):
    """A way to turn the records of a raw data set into text, in several phrasings."""

    task: str = Field(min_length=1, description="What is practised: question answering, summarisation, …")
    about: str = Field("", description="Which data sets have records of this shape.")
    fields: dict[str, TemplateFieldConfig | None] = Field(
        min_length=1, description="Placeholders by name, and where they come from."
    )
    phrasings: tuple[str, ...] = Field(min_length=1, description="Texts with {placeholders}; {{ and }} are braces.")
    languages: dict[str, tuple[str, ...]] = Field({}, description="Other phrasings for records of a language, by ISO 639-1 code.")
