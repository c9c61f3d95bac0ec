"""The daemon's pulse: measures the loop's lag, moves log lines on, and feeds the watchdog on real progress alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from marketsync.errors import MarketsyncError
from marketsync.ops.notify import Notifier
from marketsync.ops.observe import Observations
from marketsync.ports import Clock

TICK_SECONDS = 1.0
LAG_SECONDS = 1.0
TURN_SECONDS = 5.0
PROVE_SECONDS = 60.0


class Pulse:
    """`clock` is the real one. `commit` writes nothing durable through the store's writer and returns once it did.

    The watchdog is fed if the loop turned, a commit ended within the interval, and `progress_at` (monotonic, of
    the engine's last concluded piece of work) is younger than `stall_seconds`. An engine that may do nothing,
    because a person paused it all, returns None there.
    """

    def __init__(
        self,
        clock: Clock,
        observations: Observations,
        notifier: Notifier,
        *,
        commit: Callable[[], Awaitable[None]],
        progress_at: Callable[[], float | None],
        stall_seconds: float,
    ) -> None:
        self._clock = clock
        self._observations = observations
        self._notifier = notifier
        self._commit = commit
        self._progress_at = progress_at
        self._stall_seconds = stall_seconds
        self._interval = notifier.watchdog_seconds or PROVE_SECONDS
        self._began_at = clock.monotonic()
        self._committed_at = clock.monotonic()
        self._turned_at = clock.monotonic()
        self._fed_at = clock.monotonic()

    @property
    def healthy(self) -> bool:
        """The event loop turned within the last seconds."""
        return self._clock.monotonic() - self._turned_at < TURN_SECONDS

    @property
    def committed(self) -> bool:
        """The store took a commit within the last interval: it is writable, and the lease is ours."""
        return self._clock.monotonic() - self._committed_at < self._interval

    async def beat(self) -> None:
        """For ever: one tick a second."""
        while True:
            expected = self._clock.monotonic() + TICK_SECONDS
            await self._clock.sleep(TICK_SECONDS)
            self.turn(self._clock.monotonic() - expected)

    async def prove(self) -> None:
        """For ever: commit through the writer, a few times in each interval of the watchdog."""
        while True:
            await self._clock.sleep(self._interval / 4)
            try:
                await self._commit()
            except MarketsyncError:
                continue
            self._committed_at = self._clock.monotonic()

    def turn(self, lag_seconds: float) -> None:
        self._turned_at = self._clock.monotonic()
        self._observations.gauge("marketsync_loop_lag_seconds", max(0.0, lag_seconds))
        if lag_seconds > LAG_SECONDS:
            self._observations.event("loop.lagged", lag_seconds=round(lag_seconds, 3))
        self._observations.drain()
        self._feed()

    def _feed(self) -> None:
        now = self._clock.monotonic()
        if self._notifier.watchdog_seconds is None or now - self._fed_at < self._interval / 4:
            return
        if self.committed and not self._stalled(now):
            self._notifier.alive()
            self._fed_at = now

    def _stalled(self, now: float) -> bool:
        progress_at = self._progress_at()
        return progress_at is not None and now - max(progress_at, self._began_at) > self._stall_seconds
