"""Where the process kills itself, for tests with real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from marketsync.errors import ConfigError
from marketsync.ports import CrashPoints

CRASH_VARIABLE = "MARKETSYNC_CRASH_AT"


class NoCrash:
    def reach(self, name: str) -> None: ...


class CrashAt:
    """Kills the process, as a power cut would, when it reaches the named point for the nth time."""

    def __init__(self, name: str, times: int) -> None:
        self._name = name
        self._left = times

    def reach(self, name: str) -> None:
        if name != self._name:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def crash_points(environment: Mapping[str, str]) -> CrashPoints:
    """`MARKETSYNC_CRASH_AT=name:n` for tests with real processes; nothing otherwise."""
    text = environment.get(CRASH_VARIABLE)
    if not text:
        return NoCrash()
    name, _, times = text.rpartition(":")
    if not name or not times.isdigit():
        raise ConfigError(f"{CRASH_VARIABLE} is name:n, such as store.after_commit:3")
    return CrashAt(name, int(times))
