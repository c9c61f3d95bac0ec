"""One life of the daemon: its clock, its crash points, what it says, and its end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from marketsync.store import sqlite
from marketsync.store.lock import DirectoryLock
from tests.simulation.inline import Inline
from tests.simulation.loop import SeededLoop, _Handle
from tests.simulation.rare import Tally
from tests.simulation.scenario import START

TICK_SECONDS = 0.001
EXPECTED_FAILURES = ("ReadFailed", "Retry", "TooLate", "PauseConnection", "InDoubt", "Refused")
DISK_FAILURES = ("StoreError", "NoSpace", "Broken", "Busy")


class VirtualClock:
    """The loop's time. A reboot of the machine begins monotonic time anew, under another id.

    `wrong_by`: by how much the wall clock is ahead at a time of the loop."""

    def __init__(
        self,
        loop: SeededLoop,
        boot: int,
        booted_at: float,
        wrong_by: Callable[[float], float] = lambda _: 0.0,
    ) -> None:
        self._loop = loop
        self._wrong_by = wrong_by
        self._boot = boot
        self._booted_at = booted_at
        # Much happens at one moment, and most of it asks for the time.
        self._last = (-1.0, START)

    @property
    def over(self) -> bool:
        """A callback in which the process died may run on to its end; what it says nobody hears."""
        return self._loop.over

    @property
    def boot_id(self) -> str:
        return f"boot-{self._boot}"

    def now(self) -> datetime:
        at = self._loop._virtual
        if at != self._last[0]:
            self._last = (at, START + timedelta(seconds=at + self._wrong_by(at)))
        return self._last[1]

    def monotonic(self) -> float:
        return self._loop.time() - self._booted_at

    async def sleep(self, seconds: float) -> None:
        """Like a real one it always takes a moment: who waits out a rounding error would wait for ever."""
        await self._loop.wait(max(seconds, TICK_SECONDS))

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        timer: _Handle = self._loop.call_later(max(seconds, TICK_SECONDS), ring)
        return timer.cancel


class Killed(BaseException):
    """Unwinds the callback in which the process died."""


class Boundaries:
    """Every crash point and every HTTP call counts; the life ends at the one that was chosen."""

    def __init__(self, loop: SeededLoop, inline: Inline, passed: int, crash_at: int) -> None:
        self.passed = passed
        self.named: dict[str, int] = {}
        self.crash_at = crash_at
        self._loop = loop
        self._inline = inline

    def reach(self, name: str) -> None:
        if self._loop.over:
            raise Killed
        self.passed += 1
        self.named[name] = self.named.get(name, 0) + 1
        if self.passed == self.crash_at:
            self.kill()
            raise Killed

    def kill(self) -> None:
        self._loop.over = True
        self._inline.cut()


class Ear:
    """An Observer that remembers what must never be said, and what was said last."""

    def __init__(self, clock: VirtualClock, tally: Tally | None = None, *, bad_disk: bool = False) -> None:
        self._tally = tally or Tally()
        self._bad_disk = bad_disk
        self._expected = EXPECTED_FAILURES + (DISK_FAILURES if bad_disk else ())
        self.alarms: list[str] = []
        self.events: dict[str, int] = {}
        self.lines: list[str] = []
        self._clock = clock

    def event(self, name: str, /, **fields: Any) -> None:
        if self._clock.over:
            return
        self.events[name] = self.events.get(name, 0) + 1
        self._tally.event(name, fields)
        line = f"{self._clock.now():%H:%M:%S.%f} {name} {fields}"
        self.lines.append(line)
        if name.endswith(".failed") and not self._was_expected(fields):
            self.alarms.append(f"{line} {_where()}")

    def _was_expected(self, fields: dict[str, Any]) -> bool:
        """Where no kind is named, the reason says it."""
        reason = str(fields.get("reason", ""))
        refused = "error" not in fields and "was refused with HTTP" in reason
        by_disk = self._bad_disk and any(text in reason for text in ("disk of the state", "locked"))
        return refused or by_disk or fields.get("error") in self._expected

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self._tally.count(metric, labels)

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        return None

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        return None


def _where() -> str:
    """The exception that is being dealt with: the daemon names only its kind."""
    error = sys.exception() if hasattr(sys, "exception") else sys.exc_info()[1]
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{error!r} at " + " < ".join(f"{Path(x.filename).name}:{x.lineno}" for x in reversed(frames))


@contextmanager
def known_locks() -> Iterator[list[DirectoryLock]]:
    """A dead process gives up its locks; one that is only simulated has to be helped."""
    locks: list[DirectoryLock] = []

    class Known(DirectoryLock):
        def __init__(self, directory: Path) -> None:
            super().__init__(directory)
            self.directory = directory
            locks.append(self)

    with patch.object(sqlite, "DirectoryLock", Known):
        yield locks
