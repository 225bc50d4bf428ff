"""What calls raise."""

from __future__ import annotations

import errno as numbers
from typing import Any


class IommudError(Exception):
    """Everything that this package raises on its own account."""


class Refused(IommudError, OSError):
    """The daemon has refused a request, which has changed nothing.

    errno:   the Linux errno, as iommufd has it for the same mistake; `errno.EINVAL` for a mistake in the parameters
    reason:  a word for programs that does not change, such as `"not_mapped"`
    message: what is wrong, for a person, with the remedy
    hint:    the remedy alone; None where there is none
    method:  the method that was called; None if the daemon did not come to know it
    code:    `-errno`, or the JSON-RPC code (-32602: a mistake in the parameters)
    data:    everything else that the daemon says: the objects and addresses involved
    """

    def __init__(self, error: dict[str, Any]) -> None:
        self.error = error
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: dict[str, Any] = error.get("data") or {}
        self.reason: str = self.data.get("reason", "")
        self.hint: str | None = self.data.get("hint")
        self.method: str | None = self.data.get("method")
        number = getattr(numbers, str(self.data.get("errno")), None) or (-self.code if -4096 < self.code < 0 else 0)
        super().__init__(number, self.message)

    def __str__(self) -> str:
        name = self.data.get("errno") or numbers.errorcode.get(self.errno or 0, str(self.code))
        return f"{self.method or 'iommud'}: {name} {self.reason}: {self.message}"

    def __reduce__(self) -> Any:
        return type(self), (self.error,)


class ConnectionLost(IommudError, ConnectionError):
    """The connection ended before a reply came.

    maybe_done: whether the daemon may have carried out the request; false if it cannot have seen all of it
    """

    def __init__(self, message: str, maybe_done: bool = False) -> None:
        super().__init__(message)
        self.maybe_done = maybe_done


class SessionLost(ConnectionLost):
    """The daemon is there again, but the named session is not: all objects and mappings in it are gone."""


class NoReply(ConnectionLost, TimeoutError):
    """The time that the client gives to a call is over. The connection is closed, since the reply could still come."""
