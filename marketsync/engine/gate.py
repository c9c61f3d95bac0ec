"""Whether a connection may be called: its circuit breaker, and the pause that a person or a refused credential sets."""

from __future__ import annotations

import backoff

from marketsync.errors import PauseConnection
from marketsync.ports import Clock, Observer, Random

FAILURES_TO_OPEN = 3
OPEN_SECONDS_MAX = 300.0


class Gate:
    """Closed while all is well. After some failures in a row it opens: one probe goes through per interval, and the
    first success closes it again. Logged once when it goes down, once when it is back (failures 36, 40).

    `last_failure` is why the last call failed, empty from the first that did not."""

    def __init__(self, connection: str, clock: Clock, random: Random, observer: Observer) -> None:
        self._connection = connection
        self._clock = clock
        self._random = random
        self._observer = observer
        self._failures = 0
        self._opened_until: float | None = None
        self._schedule = backoff.expo(base=2, factor=5, max_value=OPEN_SECONDS_MAX)
        self.paused = ""
        self.last_failure = ""

    @property
    def is_open(self) -> bool:
        return self._opened_until is not None

    def wait_seconds(self) -> float:
        """Seconds until a call may go; 0 if one may go now. A probe takes the interval's only place."""
        if self._opened_until is None:
            return 0.0
        return max(0.0, self._opened_until - self._clock.monotonic())

    def admit(self) -> bool:
        """Take leave to make one call now."""
        if self.paused:
            return False
        if self._opened_until is None:
            return True
        if self._clock.monotonic() < self._opened_until:
            return False
        self._opened_until = self._clock.monotonic() + self._interval()
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self.last_failure = ""
        if self._opened_until is not None:
            self._opened_until = None
            self._schedule = backoff.expo(base=2, factor=5, max_value=OPEN_SECONDS_MAX)
            self._observer.event("connection.came_back", connection=self._connection)
            self._observer.gauge("marketsync_connection_up", 1, connection=self._connection)

    def failed(self, reason: str) -> None:
        self._failures += 1
        self.last_failure = reason
        if self._opened_until is None and self._failures >= FAILURES_TO_OPEN:
            self._opened_until = self._clock.monotonic() + self._interval()
            self._observer.event("connection.went_down", connection=self._connection, reason=reason)
            self._observer.gauge("marketsync_connection_up", 0, connection=self._connection)

    def pause(self, error: PauseConnection | str) -> None:
        """Stop until a person resumes the connection."""
        if not self.paused:
            self._observer.event("connection.was_paused", connection=self._connection, reason=str(error))
            self._observer.gauge("marketsync_connection_up", 0, connection=self._connection)
        self.paused = str(error)

    def resume(self) -> None:
        if self.paused:
            self._observer.event("connection.was_resumed", connection=self._connection)
        self.paused = ""
        self.last_failure = ""
        self._failures = 0
        self._opened_until = None

    def _interval(self) -> float:
        seconds = next(self._schedule) or next(self._schedule)
        return float(seconds) * self._random.uniform(0.8, 1.2)
