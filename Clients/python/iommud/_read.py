"""From JSON to the types of `types.py`, and back."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any, Callable, ClassVar, TypeVar

Self = TypeVar("Self", bound="Answer")


def nothing(result: dict[str, Any]) -> None:
    """The result of a method that has nothing to tell."""


def unchanged(result: dict[str, Any]) -> dict[str, Any]:
    """A result as the daemon sends it."""
    return result


def hexadecimal(value: str) -> int:
    """An address, length or register word: `"0x…"` in replies."""
    return int(value, 16)


def data(value: str) -> bytes:
    """Bytes, which travel as base64."""
    return base64.b64decode(value, validate=True)


def list_of(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads each element."""
    return lambda values: [read(value) for value in values]


def map_of(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads the value of each member."""
    return lambda members: {key: read(value) for key, value in members.items()}


class Argument:
    """An object in the parameters of a request; what is None is left out."""

    __slots__ = ()


class Answer:
    """An object in a result. Members that a later daemon adds are passed over."""

    __slots__ = ()
    _readers: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    @classmethod
    def from_json(cls: type[Self], members: dict[str, Any]) -> Self:
        """The object of these members."""
        values = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.name.rstrip("_") in members:
                value = members[field.name.rstrip("_")]
                read = cls._readers.get(field.name.rstrip("_"))
                values[field.name] = value if read is None or value is None else read(value)
        return cls(**values)


def written(value: Any) -> Any:
    """A parameter as JSON takes it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, Argument):
        names = (field.name for field in dataclasses.fields(value))  # type: ignore[arg-type]
        return members({name.rstrip("_"): getattr(value, name) for name in names})
    if isinstance(value, dict):
        return members(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [written(element) for element in value]
    return value


def members(params: dict[str, Any]) -> dict[str, Any]:
    """The members of an object that are there."""
    return {name: written(value) for name, value in params.items() if value is not None}
