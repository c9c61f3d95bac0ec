"""Named budgets of one credential, shared by everybody who calls with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping

from marketsync.errors import ConfigError, Retry
from marketsync.http.calls import Budget
from marketsync.ports import Clock

PACE_FACTOR_MAX = 10.0
_TICK_SECONDS = 0.001


class Budgets:
    """One object per credential: the account-wide limit holds for the sum of its users.

    Who waits, waits in order of arrival; a server's Retry-After stops the whole bucket for all of them.
    """

    def __init__(self, clock: Clock, budgets: Iterable[Budget] = ()) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self.add(budgets)

    def add(self, budgets: Iterable[Budget]) -> None:
        """Declares more budgets; the same name with other figures is a ConfigError."""
        for budget in budgets:
            bucket = self._buckets.setdefault(budget.name, _Bucket(budget, self._clock.monotonic()))
            if bucket.budget != budget:
                raise ConfigError(
                    f"budget {budget.name!r} of one credential is declared twice, with other figures"
                )

    def __contains__(self, name: str) -> bool:
        return name in self._buckets

    def period_seconds(self, name: str) -> float:
        return self._buckets[name].budget.per_seconds

    def left(self, name: str) -> int:
        """Calls that may leave at once now."""
        return self._buckets[name].left(self._clock.monotonic())

    def behind_seconds(self, name: str) -> float:
        """How long a second call would wait behind one that leaves as soon as it may."""
        return self._buckets[name].behind_seconds(self._clock.monotonic())

    def block(self, name: str, seconds: float) -> None:
        self._buckets[name].block(self._clock.monotonic(), seconds)

    def told(self, name: str, headers: Mapping[str, str]) -> None:
        """The far side tells its pace with an answer, where it does."""
        bucket = self._buckets[name]
        if header := bucket.budget.rate_header:
            bucket.pace(self._clock.monotonic(), headers.get(header, ""))

    async def acquire(self, name: str, within_seconds: float) -> None:
        """Takes one call, to leave now. Raises Retry (not counted) at once if it would take too long."""
        await self.reserve(name, within_seconds)
        self.spend(name)

    async def reserve(self, name: str, within_seconds: float) -> float:
        """Waits for one call and keeps it for the next `spend`, for one period at most. Returns the seconds it took."""
        bucket = self._buckets[name]
        now = self._clock.monotonic()
        wait = bucket.wait_seconds(now, ahead=bucket.waiting)
        if wait == 0.0 and bucket.waiting == 0:
            bucket.take(now)
            return 0.0
        if wait > within_seconds:
            raise Retry(f"budget {name!r} is spent", wait, counted=False)
        bucket.waiting += 1
        try:
            async with bucket.turn:
                await self._take(bucket)
        finally:
            bucket.waiting -= 1
        return self._clock.monotonic() - now

    def spend(self, name: str) -> bool:
        """Uses a reserved call, as of now; False if there is none or the bucket is blocked."""
        return self._buckets[name].spend(self._clock.monotonic())

    async def _take(self, bucket: _Bucket) -> None:
        while (wait := bucket.wait_seconds(self._clock.monotonic())) > 0:
            await self._clock.sleep(max(wait, _TICK_SECONDS))
        bucket.take(self._clock.monotonic())


class _Bucket:
    """A token bucket, and a log of the last departures where a window must hold.

    Keeps a time of its own that only goes forward: monotonic time that steps back counts as standing still.
    """

    def __init__(self, budget: Budget, monotonic: float) -> None:
        if budget.calls < 1 or budget.burst < 1 or budget.per_seconds <= 0:
            raise ConfigError(f"budget {budget.name!r} needs calls, burst and per_seconds above zero")
        self.budget = budget
        self.turn = asyncio.Lock()
        self.waiting = 0
        self._interval = budget.per_seconds / budget.calls
        self._now = 0.0
        self._seen = monotonic
        self._tokens = 1.0 if budget.burst > budget.calls else float(budget.burst)
        self._blocked_until = 0.0
        self._log: deque[float] = deque()
        self._reserved: deque[float] = deque()

    def wait_seconds(self, monotonic: float, ahead: int = 0) -> float:
        self._advance(monotonic)
        wait = max(0.0, self._blocked_until - self._now)
        if self._tokens < 1:
            wait = max(wait, (1 - self._tokens) * self._interval)
        if self._windowed and len(self._log) >= self.budget.calls:
            wait = max(wait, self._log[0] + self.budget.per_seconds - self._now)
        return wait + ahead * self._interval

    def take(self, monotonic: float) -> None:
        self._advance(monotonic)
        self._tokens -= 1
        self._log.append(self._now)
        self._reserved.append(self._now)

    def spend(self, monotonic: float) -> bool:
        """A call taken earlier leaves now: the far side counts it now, so it is given back and taken again."""
        self._advance(monotonic)
        if not self._reserved or self._blocked_until > self._now:
            return False
        taken_at = self._reserved.popleft()
        self._log.remove(taken_at)
        self._log.append(self._now)
        self._tokens = min(self._tokens + 1, float(self.budget.burst)) - 1
        return True

    def block(self, monotonic: float, seconds: float) -> None:
        """Nothing leaves for `seconds`, and what leaves then is paced: no burst into a storm that just ended."""
        self._advance(monotonic)
        self._blocked_until = max(self._blocked_until, self._now + seconds)
        self._tokens = min(self._tokens, 1.0)

    def pace(self, monotonic: float, stated: str) -> None:
        """Believed within a factor of ten of what was declared: a slip of the far side must not stop or loose everything."""
        try:
            interval = 1 / float(stated)
        except (ValueError, ZeroDivisionError):
            return
        declared = self.budget.per_seconds / self.budget.calls
        if declared / PACE_FACTOR_MAX <= interval <= declared * PACE_FACTOR_MAX:
            self._advance(monotonic)
            self._interval = interval

    def left(self, monotonic: float) -> int:
        if self.wait_seconds(monotonic) > 0:
            return 0
        room = self.budget.calls - len(self._log) if self._windowed else self.budget.burst
        return min(int(self._tokens), room)

    def behind_seconds(self, monotonic: float) -> float:
        return 0.0 if self.left(monotonic) > 1 else self.wait_seconds(monotonic) + self._interval

    @property
    def _windowed(self) -> bool:
        return self.budget.burst <= self.budget.calls

    def _advance(self, monotonic: float) -> None:
        elapsed = max(0.0, monotonic - self._seen)
        self._seen = monotonic
        refilling_from = max(self._now, self._blocked_until)
        self._now += elapsed
        refilled = max(0.0, self._now - refilling_from) / self._interval
        self._tokens = min(self._tokens + refilled, float(self.budget.burst))
        horizon = self._now - self.budget.per_seconds
        while self._log and self._log[0] <= horizon:
            self._log.popleft()
        while self._reserved and self._reserved[0] <= horizon:
            self._reserved.popleft()
