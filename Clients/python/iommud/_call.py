"""What the methods of both clients are made of."""

from __future__ import annotations

import errno
import os
from typing import Any, Callable, Protocol, Sequence, TypeVar, Union

Result = TypeVar("Result")


class HasDescriptor(Protocol):
    """A file, socket or the like."""

    def fileno(self) -> int:
        """Its descriptor."""


#: What can go along with a request.
Descriptor = Union[int, HasDescriptor]


def numbers(descriptors: Sequence[Descriptor]) -> list[int]:
    """The descriptors as the kernel knows them."""
    return [one if isinstance(one, int) else one.fileno() for one in descriptors]


class Call(Protocol):
    """Carries out a method and reads its result."""

    def __call__(
        self,
        method: str,
        params: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
        changes: bool = False,
        fds: Sequence[Descriptor] = (),
    ) -> Result:
        ...


class AsyncCall(Protocol):
    """The same, to be awaited."""

    async def __call__(
        self,
        method: str,
        params: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
        changes: bool = False,
        fds: Sequence[Descriptor] = (),
    ) -> Result:
        ...


class Subject:
    """The methods with one first word."""

    def __init__(self, call: Call) -> None:
        self._call = call


class AsyncSubject:
    """The same, to be awaited."""

    def __init__(self, call: AsyncCall) -> None:
        self._call = call


def socket_paths() -> list[str]:
    """Where a daemon may listen, in the order in which `iommuctl` looks."""
    if path := os.environ.get("IOMMUD_SOCKET"):
        return [path]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    paths = ["/run/iommud/iommud.sock"] + ([f"{runtime}/iommud.sock"] if runtime else [])
    return paths + [f"/tmp/iommud-{os.getuid()}/iommud.sock"]


def nobody_there(error: OSError) -> bool:
    """Whether no daemon is at a path now, which may change."""
    return error.errno in (errno.ENOENT, errno.ECONNREFUSED)


def check_options(session: str | None, reconnect: float | None) -> None:
    """Refuses what makes no sense together."""
    if reconnect is not None and session is None:
        raise ValueError("reconnect needs a named session: a private one ends with its connection")
