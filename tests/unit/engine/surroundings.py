"""Time that a test moves, chance that never varies, and an ear that remembers everything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """`hand` moves it; a sleeper wakes when its time has come. `slept` are the waits that were asked for.

    `hurries`: every sleep moves it by itself and ends at once; `after` says what happens after so many of them.
    """

    boot_id = "boot-1"

    def __init__(self, *, hurries: bool = False) -> None:
        self.at = 0.0
        self.slept: list[float] = []
        self.after: dict[int, Callable[[], None]] = {}
        self.breaks: Exception | None = None
        self._hurries = hurries
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    @property
    def sleepers(self) -> int:
        return sum(not sleeper.done() for _, sleeper in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._hurries:
            self.at += seconds
            self.after.get(len(self.slept), _nothing)()
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.at + seconds, sleeper))
        await sleeper

    def call_later(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        if self.breaks is not None:
            raise self.breaks
        sleeper = asyncio.ensure_future(self.sleep(seconds))
        sleeper.add_done_callback(lambda _: ring())
        return sleeper.cancel

    def hand(self, seconds: float) -> None:
        self.at += seconds
        for until, sleeper in self._sleepers:
            if until <= self.at and not sleeper.done():
                sleeper.set_result(None)


def _nothing() -> None:
    return None


class Random:
    """Always so far between the bounds."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.share

    def token(self, length: int) -> str:
        return "abcdefghij"[:length]


class Ear:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.counts: dict[str, float] = {}
        self.gauges: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def event(self, name: str, /, **fields: Any) -> None:
        self.events.append((name, fields))

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.counts[metric] = self.counts.get(metric, 0.0) + amount

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self.gauges[metric] = value

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        return None


class NoCrash:
    def reach(self, name: str) -> None:
        return None


async def let_run(turns: int = 20) -> None:
    """Until everything that may go on has gone on."""
    for _ in range(turns):
        await asyncio.sleep(0)
