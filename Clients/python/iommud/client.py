"""The client that returns when the reply is there."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import Any, Callable, Iterator, Sequence

from ._call import Descriptor, Result, nobody_there, numbers, socket_paths
from ._calls import Methods
from ._read import unchanged
from ._state import PAUSES, State
from ._wire import Event, Reply, Wire, receive
from .errors import ConnectionLost, IommudError, NoReply, Refused


class Client(Methods):
    """A connection to iommud: `client.ioas.map(…)` is the method `ioas.map`.

    path:      of the socket; default: `$IOMMUD_SOCKET`, else where a daemon answers of those that iommuctl tries
    session:   the named session to go on in, which is made if it is not there; default: a private one
    reconnect: with a named session: for how many seconds a lost connection is tried to be made again. The call that
               lost it is made again if that cannot do anything twice, and raises ConnectionLost otherwise
    timeout:   seconds that a call may take; default: as long as it takes
    on_event:  is told each event before the reply that comes after it; default: they wait for `next_event`

    Threads can share a client; each waits for the others' calls.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        session: str | None = None,
        reconnect: float | None = None,
        timeout: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        super().__init__(self._call)
        self.timeout = timeout
        self._paths = [os.fspath(path)] if path is not None else socket_paths()
        self._state = State(session, reconnect, on_event)
        self._lock = threading.RLock()
        self._wire = Wire()
        self._socket: socket.socket | None = None
        with self._lock:
            self._connect(patience=0)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it a private session."""
        with self._lock:
            self._state.is_closed = True
            self._disconnect()

    def fileno(self) -> int:
        """The socket, for programs that wait for other things, too: when it is readable, call `next_event(0)`."""
        if self._socket is None:
            raise ConnectionLost("there is no connection")
        return self._socket.fileno()

    @property
    def session_name(self) -> str | None:
        """The named session; None: a private one."""
        return self._state.session

    # Events

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event that `events.subscribe` has asked for; None if the time is over before one comes."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while not self._state.events:
                self._open()
                if self._state.events:
                    break
                try:
                    if not self._read(deadline):
                        return None
                except ConnectionLost as lost:
                    self._disconnect()
                    if not self._state.may_repeat(lost, changes=False):
                        raise
            return self._state.events.popleft()

    def iterate_events(self) -> Iterator[Event]:
        """Events, one after the other, for as long as the connection lasts."""
        while True:
            event = self.next_event()
            if event:
                yield event

    # Calls

    def call(self, method: str, *fds: Descriptor, **params: Any) -> dict[str, Any]:
        """Any method, also one that this version of the client does not know; the result is as the daemon sends it."""
        return self._call(method, params, unchanged, changes=True, fds=fds)

    def _call(
        self,
        method: str,
        params: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
        changes: bool = False,
        fds: Sequence[Descriptor] = (),
    ) -> Result:
        with self._lock:
            for is_second in (False, True):
                self._open()
                try:
                    result = self._exchange(method, params, numbers(fds))
                    break
                except ConnectionLost as lost:
                    self._disconnect()
                    if is_second or not self._state.may_repeat(lost, changes):
                        raise
            self._state.did(method, params)
            return read(result)

    def _exchange(self, method: str, params: dict[str, Any], fds: Sequence[int]) -> Any:
        number, line = self._wire.request(method, params)
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        try:
            self._send(line, fds)
        except BaseException:
            # Half of a line may have been sent.
            self._disconnect()
            raise
        while (reply := self._next_reply(deadline)).id != number:
            # The reply of a call that was interrupted: nobody else would close these.
            for descriptor in reply.descriptors:
                os.close(descriptor)
        if reply.error:
            raise Refused(reply.error)
        return reply.result

    def _next_reply(self, deadline: float | None) -> Reply:
        while not self._replies:
            if not self._read(deadline):
                self._disconnect()
                raise NoReply(f"no reply within {self.timeout} seconds", maybe_done=True)
        return self._replies.pop(0)

    # The connection

    def _open(self) -> None:
        if self._socket is None:
            if self._state.is_closed or self._state.reconnect is None:
                raise ConnectionLost("the connection has ended")
            try:
                self._connect(patience=self._state.reconnect)
            except OSError as error:
                if isinstance(error, IommudError):
                    raise
                raise ConnectionLost(str(error)) from None
            self._state.reconnected()

    def _connect(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        pause = PAUSES[0]
        while True:
            try:
                self._connect_once()
                return
            except (OSError, ConnectionLost) as error:
                self._disconnect()
                again = isinstance(error, ConnectionLost) or (isinstance(error, OSError) and nobody_there(error))
                if isinstance(error, Refused) or not again or time.monotonic() >= deadline or self._state.is_closed:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, PAUSES[1])

    def _connect_once(self) -> None:
        self._wire = Wire()
        self._replies: list[Reply] = []
        self._socket = connected(self._paths)
        for method, params in self._state.greeting():
            try:
                self._exchange(method, params, ())
            except Refused as error:
                self._disconnect()
                raise self._state.greeting_refused(error) from None
            self._state.did(method, params)

    def _disconnect(self) -> None:
        self._wire.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: bytes, fds: Sequence[int]) -> None:
        assert self._socket is not None
        self._socket.settimeout(self.timeout)
        try:
            sent = socket.send_fds(self._socket, [line], fds) if fds else self._socket.send(line)
            if sent < len(line):
                self._socket.sendall(memoryview(line)[sent:])
        except TimeoutError:
            self._disconnect()
            raise NoReply(f"not sent within {self.timeout} seconds") from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._why_ended() from None

    def _why_ended(self) -> IommudError:
        """A daemon that turns a client away says why before it closes."""
        try:
            while self._read(time.monotonic() + 1):
                pass
        except IommudError as error:
            return error if isinstance(error, Refused) else ConnectionLost(str(error), maybe_done=False)
        return ConnectionLost("iommud has closed the connection")

    def _read(self, deadline: float | None) -> bool:
        """Takes in what has come, or waits for it; false: the time is over."""
        assert self._socket is not None
        left = None if deadline is None else max(deadline - time.monotonic(), 0)
        self._socket.settimeout(left)
        try:
            data, descriptors = receive(self._socket)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            raise self._state.ended(maybe_done=True)
        for message in self._wire.received(data, descriptors):
            if isinstance(message, Event):
                self._state.event(message)
            elif message.id is None:
                self._state.told = message.error
            else:
                self._replies.append(message)
        return True


def connected(paths: Sequence[str]) -> socket.socket:
    """A connection to the first path that has a daemon."""
    problem: OSError | None = None
    for path in paths:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            one.connect(path)
            return one
        except OSError as error:
            one.close()
            if problem is None or nobody_there(problem):
                problem = type(error)(error.errno, f"{error.strerror}: is iommud running?", path)
            if not nobody_there(error):
                break
    assert problem is not None
    raise problem
