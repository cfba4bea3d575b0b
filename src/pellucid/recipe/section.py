"""What all recipe sections share: frozen, and no key that nobody reads."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["InputSection", "Section"]


class Section(BaseModel):
    """Base of every recipe section. Unknown keys are errors; values do not change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class InputSection(Section):
    """A source of records, under its name: files, or a data set on the hub."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the folder and of the row in every table.")
    path: str | None = Field(None, description="File, folder or glob, relative to the recipe, or a URL (s3://, hf://, https://).")
    hub: str | None = Field(
        None, description="Data set on the Hugging Face hub, as owner/name or owner/name:subset; or a local copy, as ./folder."
    )
    split: str = Field("train", min_length=1, description="Split of the data set on the hub.")
    revision: str | None = Field(None, description="Branch, tag or commit of the data set on the hub; null is its main branch.")
