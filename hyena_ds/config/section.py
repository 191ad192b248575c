"""The base of every config section: typed, frozen, strict."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A named part of a run's config; a component owns its section and takes exactly that.

    Integers are accepted where floats are asked, nothing else is converted; unknown keys and infinities are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`values` of a file with what they leave out and imply."""
        return values
