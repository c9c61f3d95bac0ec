"""The real clock and the real randomness, and the scaled clock of a demo: the only owners of both."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from marketsync.ports import Clock

BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


class SystemClock:
    """This machine's time. `boot_id` is the kernel's, or derived from when monotonic time began."""

    def __init__(self) -> None:
        self._boot_id = _boot_id()

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        return asyncio.get_running_loop().call_later(seconds, ring).cancel


class ScaledClock:
    """`factor` seconds here pass in one second of `real`. Who shares the object (or its origin) shares the time.

    `since` (monotonic of `real`) and `at` say when the two ran alike; by default now.
    """

    def __init__(
        self, real: Clock, factor: float, *, since: float | None = None, at: datetime | None = None
    ) -> None:
        if factor <= 0:
            raise ValueError("a clock runs forward: its factor is greater than zero")
        self._real = real
        self._factor = factor
        self._since = real.monotonic() if since is None else since
        self._at = real.now() if at is None else at

    @property
    def boot_id(self) -> str:
        return f"{self._real.boot_id}x{self._factor:g}@{self._since:.6f}"

    @property
    def factor(self) -> float:
        return self._factor

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self._elapsed())

    def monotonic(self) -> float:
        return self._since + self._elapsed()

    async def sleep(self, seconds: float) -> None:
        await self._real.sleep(seconds / self._factor)

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        return asyncio.get_running_loop().call_later(seconds / self._factor, ring).cancel

    def _elapsed(self) -> float:
        return (self._real.monotonic() - self._since) * self._factor


class SystemRandom:
    """The operating system's randomness."""

    def __init__(self) -> None:
        self._source = random.SystemRandom()

    def uniform(self, low: float, high: float) -> float:
        return self._source.uniform(low, high)

    def token(self, length: int) -> str:
        """Of the letters of base32: eight for five random bytes, in one call to the system."""
        return base64.b32encode(os.urandom(length)).decode()[:length].lower()


def _boot_id(path: Path = BOOT_ID_PATH) -> str:
    """A derived id may change although the machine did not restart: that only makes doubts wait anew, never less."""
    try:
        return path.read_text().strip()
    except OSError:
        return f"derived-{int(time.time() - time.monotonic()) // 60}"
