"""The client for asyncio."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any, AsyncIterator, Callable, Sequence

from ._async_calls import Methods
from ._call import Descriptor, Result, nobody_there, numbers, socket_paths
from ._read import unchanged
from ._state import PAUSES, State
from ._wire import Event, Reply, Wire, receive
from .client import connected
from .errors import ConnectionLost, IommudError, Refused


class AsyncClient(Methods):
    """As `Client`, with methods to be awaited: `await client.ioas.map(…)`.

    Calls of several tasks go out at once, and the daemon answers them in their order. A call that is cancelled may have
    been carried out all the same. The connection is made by the first call, or by `async with`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        session: str | None = None,
        reconnect: float | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        super().__init__(self._call)
        self._paths = [os.fspath(path)] if path is not None else socket_paths()
        self._state = State(session, reconnect, on_event)
        self._connection: _Connection | None = None
        self._was_connected = False
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> AsyncClient:
        await self._open()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and with it a private session."""
        self._state.is_closed = True
        if self._connection:
            self._connection.end(ConnectionLost("the client is closed", maybe_done=True))

    @property
    def session_name(self) -> str | None:
        """The named session; None: a private one."""
        return self._state.session

    async def next_event(self) -> Event:
        """The next event that `events.subscribe` has asked for."""
        while not self._state.events:
            connection = await self._open()
            if self._state.events:
                break
            try:
                await connection.activity()
            except ConnectionLost as lost:
                if not self._state.may_repeat(lost, changes=False):
                    raise
        return self._state.events.popleft()

    async def iterate_events(self) -> AsyncIterator[Event]:
        """Events, one after the other, for as long as the connection lasts."""
        while True:
            yield await self.next_event()

    async def call(self, method: str, *fds: Descriptor, **params: Any) -> dict[str, Any]:
        """Any method, also one that this version of the client does not know; the result is as the daemon sends it."""
        return await self._call(method, params, unchanged, changes=True, fds=fds)

    async def _call(
        self,
        method: str,
        params: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
        changes: bool = False,
        fds: Sequence[Descriptor] = (),
    ) -> Result:
        for is_second in (False, True):
            connection = await self._open()
            try:
                result = await connection.exchange(method, params, numbers(fds))
                break
            except ConnectionLost as lost:
                if is_second or not self._state.may_repeat(lost, changes):
                    raise
        self._state.did(method, params)
        return read(result)

    async def _open(self) -> _Connection:
        async with self._connecting:
            if self._connection and self._connection.is_open:
                return self._connection
            if self._state.is_closed or (self._was_connected and self._state.reconnect is None):
                raise ConnectionLost("the connection has ended")
            if self._was_connected:
                try:
                    self._connection = await self._connect(self._state.reconnect or 0)
                except OSError as error:
                    if isinstance(error, IommudError):
                        raise
                    raise ConnectionLost(str(error)) from None
                self._state.reconnected()
            else:
                self._connection = await self._connect(0)
            self._was_connected = True
            return self._connection

    async def _connect(self, patience: float) -> _Connection:
        deadline = time.monotonic() + patience
        pause = PAUSES[0]
        while True:
            try:
                return await self._connect_once()
            except (OSError, ConnectionLost) as error:
                again = isinstance(error, ConnectionLost) or nobody_there(error)
                if isinstance(error, Refused) or not again or time.monotonic() >= deadline or self._state.is_closed:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSES[1])

    async def _connect_once(self) -> _Connection:
        loop = asyncio.get_running_loop()
        connection = _Connection(await loop.run_in_executor(None, connected, self._paths), self._state)
        try:
            for method, params in self._state.greeting():
                await connection.exchange(method, params, ())
                self._state.did(method, params)
        except Refused as error:
            connection.end(error)
            raise self._state.greeting_refused(error) from None
        except BaseException:
            connection.end(ConnectionLost("the connection was given up"))
            raise
        return connection


class _Connection:
    """One socket in an event loop."""

    def __init__(self, opened: socket.socket, state: State) -> None:
        self._socket = opened
        self._state = state
        self._wire = Wire()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._activity: set[asyncio.Future[None]] = set()
        self._sending = asyncio.Lock()
        self._ended: IommudError | None = None
        opened.setblocking(False)
        self._loop.add_reader(opened, self._readable)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._ended is None

    def end(self, error: IommudError) -> None:
        """Closes the connection; whoever waits gets the error."""
        if self._ended is not None:
            return
        self._ended = error
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._wire.close()
        futures: list[asyncio.Future[Any]] = [*self._waiting.values(), *self._activity]
        for future in futures:
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()
        self._activity.clear()

    async def activity(self) -> None:
        """Returns when something has been read."""
        if self._ended is not None:
            raise self._ended
        future: asyncio.Future[None] = self._loop.create_future()
        self._activity.add(future)
        try:
            await future
        finally:
            self._activity.discard(future)

    async def exchange(self, method: str, params: dict[str, Any], fds: Sequence[int]) -> Any:
        """One request and its reply."""
        number, line = self._wire.request(method, params)
        future: asyncio.Future[Reply] = self._loop.create_future()
        async with self._sending:
            self._waiting[number] = future
            try:
                await self._send(line, fds)
            except BaseException:
                self._waiting.pop(number, None)
                future.cancel()
                raise
        reply = await future
        if reply.error:
            raise Refused(reply.error)
        return reply.result

    async def _send(self, line: bytes, fds: Sequence[int]) -> None:
        rest = memoryview(line)
        try:
            while rest:
                if self._ended is not None:
                    raise ConnectionLost(str(self._ended))
                try:
                    sent = socket.send_fds(self._socket, [rest], fds) if fds else self._socket.send(rest)
                    rest, fds = rest[sent:], ()
                except BlockingIOError:
                    await self._writable()
                except (BrokenPipeError, ConnectionResetError):
                    # The daemon may have said why, and that can still be read.
                    self._readable()
                    self.end(ConnectionLost("iommud has closed the connection"))
                    raise self._error() from None
        except asyncio.CancelledError:
            if len(rest) < len(line):
                self.end(ConnectionLost("a request was cancelled when half of it was sent"))
            raise

    def _error(self) -> IommudError:
        if isinstance(self._ended, Refused):
            return self._ended
        return ConnectionLost(str(self._ended))

    async def _writable(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._activity.add(future)
        self._loop.add_writer(self._socket, lambda: None if future.done() else future.set_result(None))
        try:
            await future
        finally:
            self._activity.discard(future)
            if self._ended is None:
                self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            data, descriptors = receive(self._socket)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self.end(self._state.ended(maybe_done=True))
            return
        try:
            for message in self._wire.received(data, descriptors):
                self._message(message)
        except IommudError as error:
            self.end(error)
            return
        for future in self._activity:
            if not future.done():
                future.set_result(None)

    def _message(self, message: Reply | Event) -> None:
        if isinstance(message, Event):
            self._state.event(message)
        elif message.id is None:
            self._state.told = message.error
        else:
            future = self._waiting.pop(message.id, None)
            if future is not None and not future.done():
                future.set_result(message)
            else:
                # Nobody waits for it any more, so nobody would close these.
                for descriptor in message.descriptors:
                    os.close(descriptor)
