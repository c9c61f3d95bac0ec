"""An event loop whose time is virtual and whose order is a seed's: it takes any ready callback, not the oldest."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import warnings
from asyncio import base_events
from collections.abc import Iterator
from contextvars import Context, copy_context
from random import Random
from typing import Any, NoReturn

from marketsync.sandbox.chance import Chance

STEPS_MAX = 3_000_000


class LifeOver(BaseException):
    """The life on this loop has ended: nothing on it runs again."""


class Stalled(AssertionError):
    """Whoever waits, waits for ever; or somebody turns round and round without waiting."""


class _Task(asyncio.Task[Any]):
    """Hashes by its number: asyncio keeps tasks in sets, and an address would decide their order."""

    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    __slots__ = ("number",)
    number: int

    def __hash__(self) -> int:
        return self.number


class _Handle:
    """As events.Handle, for less: no debug, no source, and a cancelled timer leaves the heap when it comes to its top."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when")

    def __init__(
        self, callback: Any, args: tuple[Any, ...], context: Context | None, when: float = 0.0
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = copy_context() if context is None else context
        self._cancelled = False
        self._when = when

    def cancel(self) -> None:
        self._cancelled = True

    def cancelled(self) -> bool:
        return self._cancelled

    def when(self) -> float:
        return self._when


def _end_wait(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class SeededLoop(base_events.BaseEventLoop):
    """One life of a process. `begin` is the time at which it starts; `over` ends it between two callbacks, and so does
    reaching `crash_step` (counted from the beginning of this life; 0 is never).

    Its inner parts are written for speed: they run a thousand times as often as all else in a simulation.
    """

    _stopping: bool
    _ready: list[_Handle]
    _scheduled: list[tuple[float, int, _Handle]]

    def __init__(
        self, chance: Chance, begin: float = 0.0, crash_step: int = 0, steps_max: int = STEPS_MAX
    ) -> None:
        super().__init__()
        self.over = False
        self.steps = 0
        self.troubles: list[str] = []
        self._ready = []
        self._scheduled = []
        self._draw = Random(chance.below(1 << 62)).random
        self._virtual = begin
        self._crash_step = crash_step
        self._steps_max = steps_max
        self._numbers = 0
        self.set_task_factory(self._new_task)
        self.set_exception_handler(self._note_trouble)

    # A future asks for it when it is made: this one answers without a call of Python's.
    get_debug = staticmethod(bool)

    def time(self) -> float:
        return self._virtual

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        self._numbers += 1
        future.number = self._numbers
        return future

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        timer = _Handle(callback, args, context, when)
        self._numbers += 1
        if when <= self._virtual:
            self._ready.append(timer)
        else:
            heapq.heappush(self._scheduled, (when, self._numbers, timer))
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:  # type: ignore[override]
        return self.call_at(self._virtual + delay, callback, *args, context=context)

    async def wait(self, seconds: float) -> None:
        """As asyncio.sleep, for less."""
        future = self.create_future()
        timer = self.call_at(self._virtual + seconds, _end_wait, future)
        try:
            await future
        finally:
            timer.cancel()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> NoReturn:  # type: ignore[override]
        raise AssertionError("a thread was asked for: its timing is no seed's")

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> NoReturn:  # type: ignore[override]
        raise AssertionError("another thread spoke to the loop: its timing is no seed's")

    def _run_once(self) -> None:
        """All turns until somebody stops the loop: any ready callback is the next, and time moves when none is."""
        ready, draw = self._ready, self._draw
        while True:
            if not ready:
                self._let_time_pass()
            self.steps += 1
            if self.steps == self._crash_step or self.steps > self._steps_max:
                self._end_here()
            last = len(ready) - 1
            if last:
                chosen = int(draw() * (last + 1))
                ready[chosen], ready[last] = ready[last], ready[chosen]
            handle = ready.pop()
            if not handle._cancelled:
                # What Handle._run does, without the call.
                try:
                    handle._context.run(handle._callback, *handle._args)
                except Exception as error:  # noqa: BLE001 - as any loop does
                    self.call_exception_handler({"message": f"in {handle!r}", "exception": error})
            if self.over:
                raise LifeOver
            if self._stopping:
                return

    def _end_here(self) -> None:
        if self.steps > self._steps_max:
            raise Stalled(f"still busy after {self._steps_max} steps, at {self._virtual:.3f} s")
        self.over = True
        raise LifeOver

    def _let_time_pass(self) -> None:
        timers, ready = self._scheduled, self._ready
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise Stalled("the loop has nothing left to do and was not stopped")
        self._virtual = max(self._virtual, timers[0][0])
        while timers and timers[0][0] <= self._virtual:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:
                ready.append(handle)

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
