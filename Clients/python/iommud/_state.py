"""What a client knows apart from its connection, sync or not: its session, its subscription, the events that wait."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable

from ._call import check_options
from ._wire import Event
from .errors import ConnectionLost, IommudError, NoReply, Refused, SessionLost

#: Events that wait for the program to ask for them; what comes then is counted as lost.
WAITING_EVENTS = 65536
#: Seconds between attempts to connect again: the first, and the longest.
PAUSES = (0.02, 0.5)


class State:
    """The part that lasts while connections come and go."""

    def __init__(
        self, session: str | None, reconnect: float | None, on_event: Callable[[Event], None] | None = None
    ) -> None:
        check_options(session, reconnect)
        self.session = session
        self.reconnect = reconnect
        self.on_event = on_event
        self.events: deque[Event] = deque()
        self.is_closed = False
        self._subscription: dict[str, Any] | None = None
        self._was_attached = False
        self._missed = 0
        #: An error that belonged to no request: why the connection is about to be closed.
        self.told: dict[str, Any] | None = None

    def greeting(self) -> list[tuple[str, dict[str, Any]]]:
        """What to call first on a new connection. A session that has been there is not made anew."""
        calls: list[tuple[str, dict[str, Any]]] = []
        if self.session is not None:
            calls.append(("session.attach", {"name": self.session, "create": not self._was_attached}))
        if self._subscription is not None:
            calls.append(("events.subscribe", self._subscription))
        return calls

    def greeting_refused(self, error: Refused) -> IommudError:
        """What the refusal of a greeting means."""
        if self._was_attached and error.reason == "no_such_session":
            self.is_closed = True
            return SessionLost(f"session {self.session} is gone, with all that was in it")
        return error

    def did(self, method: str, params: dict[str, Any]) -> None:
        """A call has succeeded; some have to be repeated on the next connection."""
        if method == "session.attach":
            self.session, self._was_attached = params["name"], True
        elif method == "session.close" and params.get("name") in (None, self.session):
            self.session, self._was_attached = None, False
        elif method == "events.subscribe":
            self._subscription = params
        elif method == "events.unsubscribe":
            self._subscription = None

    def may_repeat(self, lost: ConnectionLost, changes: bool) -> bool:
        """Whether a call that lost its connection can be made again on another."""
        if self.reconnect is None or self.session is None or isinstance(lost, (SessionLost, NoReply)):
            return False
        return not (changes and lost.maybe_done)

    def event(self, event: Event) -> None:
        """An event has come: to the callback at once, or kept."""
        if self.on_event:
            self.on_event(event)
        elif len(self.events) >= WAITING_EVENTS:
            self._missed += 1
        else:
            if self._missed:
                self.events.append(Event("lost", 0, event.time, {"kind": "lost", "count": self._missed}))
                self._missed = 0
            self.events.append(event)

    def reconnected(self) -> None:
        """A new connection is there; what happened in between, nobody knows."""
        if self._subscription is not None:
            self.event(Event("lost", 0, "", {"kind": "lost"}))

    def ended(self, maybe_done: bool) -> IommudError:
        """Why a connection has ended, as an error."""
        told, self.told = self.told, None
        return Refused(told) if told else ConnectionLost("iommud has closed the connection", maybe_done)
