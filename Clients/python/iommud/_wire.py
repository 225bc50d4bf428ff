"""Lines and descriptors, without a socket: what both clients have in common."""

from __future__ import annotations

import array
import itertools
import json
import os
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Iterator, Sequence, Union

from ._read import members
from .errors import ConnectionLost
from .types import EVENTS

#: Bytes of one read.
READ_BYTES = 1 << 18
#: The kernel passes no more than 253 descriptors in one message, and none may be lost.
ANCILLARY_BYTES = socket.CMSG_SPACE(253 * 4)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What has come: bytes, and descriptors that end with an exec (`socket.recv_fds` would let them live)."""
    data, ancillary, _, _ = connection.recvmsg(READ_BYTES, ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


@dataclass
class Reply:
    """What answers a request. `id` is None where an error belongs to no request."""

    id: Any
    result: Any = None
    error: dict[str, Any] | None = None
    descriptors: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Event:
    """Something that happened. `data` has all members as they came, addresses as `"0x…"`."""

    #: One of the kinds of `events.subscribe`, or `"lost"`: then `data["count"]` events are missing before this one.
    kind: str
    #: From 1, by subscription.
    sequence: int
    #: RFC 3339, UTC, microseconds.
    time: str
    data: dict[str, Any]

    @property
    def body(self) -> Any:
        """The members as the daemon declares them for the kind, `types.EventFault` and so on; None for other kinds."""
        declared = EVENTS.get(self.kind)
        return declared.from_json(self.data) if declared and "sequence" in self.data else None

    @property
    def session(self) -> str | None:
        """The named session that it comes from."""
        return self.data.get("session")


Message = Union[Reply, Event]


class Wire:
    """The state of one connection."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._bytes = bytearray()
        self._searched = 0
        self._descriptors: deque[int] = deque()

    def request(self, method: str, params: dict[str, Any]) -> tuple[int, bytes]:
        """The id and the line of a request."""
        number = next(self._ids)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": members(params)}
        return number, json.dumps(request, separators=(",", ":")).encode() + b"\n"

    def received(self, data: bytes, descriptors: Sequence[int]) -> Iterator[Message]:
        """Takes in what one read gave; yields what has come in whole."""
        self._descriptors.extend(descriptors)
        self._bytes += data
        while (end := self._bytes.find(b"\n", self._searched)) >= 0:
            line = bytes(self._bytes[:end])
            del self._bytes[: end + 1]
            self._searched = 0
            if line.strip():
                yield self._parsed(line)
        self._searched = len(self._bytes)

    def _parsed(self, line: bytes) -> Message:
        try:
            return self._message(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConnectionLost(f"this is not iommud: {error}", maybe_done=True) from None

    def _message(self, message: dict[str, Any]) -> Message:
        if message.get("method") == "event":
            params = message["params"]
            return Event(params["kind"], params.get("sequence", 0), params.get("time", ""), params)
        reply = Reply(message.get("id"), message.get("result"), message.get("error"))
        count = reply.result.get("fds", 0) if isinstance(reply.result, dict) else 0
        if isinstance(count, int) and count > 0:
            if count > len(self._descriptors):
                raise ConnectionLost("descriptors of a reply have been lost; has this process too many open?", True)
            reply.descriptors = [self._descriptors.popleft() for _ in range(count)]
            reply.result["fds"] = reply.descriptors
        return reply

    def close(self) -> None:
        """Closes the descriptors that no reply has claimed."""
        while self._descriptors:
            os.close(self._descriptors.popleft())
