"""An event loop whose time is virtual and whose order is a seed's: it takes any ready callback, not the oldest."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import warnings
from asyncio import base_events, events
from collections import deque
from collections.abc import Iterator
from contextvars import Context
from typing import Any, NoReturn

from marketsync.sandbox.chance import Chance

STEPS_MAX = 3_000_000


class LifeOver(BaseException):
    """The life on this loop has ended: nothing on it runs again."""


class Stalled(AssertionError):
    """Whoever waits, waits for ever; or somebody turns round and round without waiting."""


class _Task(asyncio.Task[Any]):
    """Hashes by its number: asyncio keeps tasks in sets, and an address would decide their order."""

    number: int

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    number: int

    def __hash__(self) -> int:
        return self.number


class SeededLoop(base_events.BaseEventLoop):
    """One life of a process. `begin` is the time at which it starts; `over` ends it between two callbacks."""

    _ready: deque[events.Handle]
    _scheduled: list[events.TimerHandle]

    def __init__(self, chance: Chance, begin: float = 0.0, crash_step: int | None = None) -> None:
        super().__init__()
        self.over = False
        self.steps = 0
        self.troubles: list[str] = []
        self._chance = chance
        self._virtual = begin
        self._crash_step = crash_step
        self._numbers = 0
        self.set_task_factory(self._new_task)
        self.set_exception_handler(self._note_trouble)

    def time(self) -> float:
        return self._virtual

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._numbers += 1
        future.number = self._numbers
        return future

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        raise AssertionError("a thread was asked for: its timing is no seed's")

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> NoReturn:  # type: ignore[override]
        raise AssertionError("another thread spoke to the loop: its timing is no seed's")

    def _run_once(self) -> None:
        self._wake_timers()
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stalled(f"still busy after {STEPS_MAX} steps, at {self._virtual:.3f} s")
        handle = self._take()
        if self.steps == self._crash_step:
            self.over = True
        if not self.over and not handle.cancelled():
            handle._run()
        if self.over:
            raise LifeOver

    def _take(self) -> events.Handle:
        index = self._chance.below(len(self._ready))
        self._ready.rotate(-index)
        handle: events.Handle = self._ready.popleft()
        self._ready.rotate(index)
        return handle

    def _wake_timers(self) -> None:
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not self._ready:
            if not timers:
                raise Stalled("the loop has nothing left to do and was not stopped")
            self._virtual = max(self._virtual, timers[0].when())
        while timers and timers[0].when() <= self._virtual:
            handle = heapq.heappop(timers)
            if not handle.cancelled():
                self._ready.append(handle)

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """They leave the heap when they come to its top."""

    def _new_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **more: Any) -> asyncio.Task[Any]:
        self._numbers += 1
        _Task.number = self._numbers  # the base class hashes the new task before we can name it
        task = _Task(coro, loop=loop, **more)
        task.number = self._numbers
        return task

    def _note_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.over:
            self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")

    def bury(self) -> None:
        """Throws away what was abandoned, now and not when some collector comes by."""
        self.over = True
        for task in sorted(asyncio.all_tasks(self), key=hash):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            _close(task.get_coro())
        self._ready.clear()
        self._scheduled.clear()
        self.close()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """The `finally` of a dead coroutine may begin work that nobody awaits any more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
        yield


def _close(coro: Any) -> None:
    """A `finally` in it may still want to wait; it does not get to."""
    with contextlib.suppress(BaseException):
        coro.close()
