"""The top of every task: whatever a connection's work raises ends here, in a state that a person sees (failure 71)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from marketsync.engine.context import Core, Wake
from marketsync.engine.gate import Gate
from marketsync.errors import MarketsyncError, PauseConnection, Retry, StoreError
from marketsync.store import Broken, connections

PAUSED_SECONDS = 30.0
STORE_SECONDS = 15.0


class Loop:
    """One repeated piece of work of one connection. It never ends by itself, and never touches another connection."""

    def __init__(self, core: Core, name: str, connection: str, gate: Gate, wake: Wake) -> None:
        self._core = core
        self._name = name
        self._connection = connection
        self._gate = gate
        self._wake = wake
        self._failed = ""
        self.last_success: float | None = None

    async def forever(self, work: Callable[[], Awaitable[float]], *, calls: bool = True) -> None:
        """`work` returns the seconds to wait, negative if it made no call: then the circuit learns nothing from it."""
        while True:
            delay = await self._once(work, calls=calls)
            await self._wake.wait(self._core.clock, max(0.0, delay))

    async def _once(self, work: Callable[[], Awaitable[float]], *, calls: bool) -> float:
        if self._gate.paused:
            return PAUSED_SECONDS
        if calls and not self._gate.admit():
            return min(max(self._gate.wait_seconds(), 0.05), PAUSED_SECONDS)
        try:
            delay = await work()
        except PauseConnection as error:
            return await self._pause(error)
        except Retry as error:
            if error.counted:
                self._gate.failed(str(error))
            return PAUSED_SECONDS if error.after_seconds is None else error.after_seconds
        except Broken:
            raise
        except StoreError as error:
            self._down(type(error).__name__, str(error))
            return STORE_SECONDS
        except MarketsyncError as error:
            self._down(type(error).__name__, str(error))
            return PAUSED_SECONDS
        except Exception as error:  # noqa: BLE001 - the one place of this task where anything at all may arrive
            self._gate.failed(type(error).__name__)
            self._down(type(error).__name__, "")
            return PAUSED_SECONDS
        return self._well(delay)

    def _well(self, delay: float) -> float:
        self.last_success = self._core.clock.monotonic()
        if delay >= 0:
            self._gate.succeeded()
        if self._failed:
            self._core.observer.event("loop.recovered", connection=self._connection, loop=self._name)
            self._failed = ""
        return abs(delay)

    def _down(self, kind: str, text: str) -> None:
        """Logged once when it goes down, once when it is back."""
        self._core.observer.count(
            "marketsync_loop_failures_total", 1, connection=self._connection, loop=self._name
        )
        if self._failed != kind:
            self._failed = kind
            self._core.observer.event(
                "loop.failed", connection=self._connection, loop=self._name, error=kind, reason=text
            )

    async def _pause(self, error: PauseConnection) -> float:
        self._gate.pause(error)
        reason, merchant, name = str(error), self._core.merchant, self._connection
        try:
            await self._core.store.write(
                lambda unit: connections.pause(unit, merchant, name, reason, "credentials")
            )
        except Broken:
            raise
        except StoreError as unwritten:
            # The pause holds in this life; the next one is refused anew, and then writes it down.
            self._down(type(unwritten).__name__, str(unwritten))
        return PAUSED_SECONDS
