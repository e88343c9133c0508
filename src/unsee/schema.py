"""Validated values: one pydantic base for everything that is typed by people or read from disk."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from unsee.errors import OptionError


class Schema(BaseModel):
    """A frozen value whose fields are checked when it is made; unknown fields are refused.

    Raises:
        OptionError: names every field at fault, what was got and what was expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # so that type checkers keep the signature that the fields make

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                unknown = any(one["type"] == "extra_forbidden" and len(one["loc"]) == 1 for one in error.errors())
                there = f". There are {sorted(type(self).model_fields)}" if unknown else ""
                raise OptionError(f"{type(self).__name__}: {worded(error)}{there}") from None

    def changed(self, **changes: Any) -> Self:
        """The same value with some fields changed, checked again."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, by field."""
        return self.model_dump(mode="json")


def worded(error: ValidationError) -> str:
    """What is wrong with each field, as one sentence: its path, what was got, what was expected."""
    return "; ".join(_line(one) for one in error.errors(include_url=False))


def _line(one: Any) -> str:
    path, inner = ".".join(map(str, one["loc"])), one.get("ctx", {}).get("error")
    if isinstance(inner, OptionError):  # of a value inside this one, which has named its own field
        return f"{path}: {inner}" if path else str(inner)
    if not path and one["type"] == "value_error":  # of several fields together, which its text names
        return _expected(one)
    return f"{path or 'value'} is {_shown(one['input'])}, expected: {_expected(one)}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _expected(one: Any) -> str:
    if one["type"] == "extra_forbidden":
        return "no such field"
    if one["type"] == "missing":
        return "the field, which is missing"
    return one["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
