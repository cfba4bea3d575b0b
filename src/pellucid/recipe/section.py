"""What all recipe sections share: frozen, and no key that nobody reads."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """Base of every recipe section. Unknown keys are errors; values do not change after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
