"""Fakes of what the client is given: time that moves only when somebody waits, a scripted transport."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marketsync.http import ApiKey, Auth, Budget, Budgets, Http, OAuth2, Operation, Tokens
from marketsync.ports import Request, Response

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time - 1000.0)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.time + seconds, self._count, woken))
        await woken

    async def run(self, *work: Any) -> list[Any]:
        """Awaits all of `work`, moving time on whenever everybody waits."""
        tasks = [asyncio.ensure_future(one) for one in work]
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                break
            assert self._sleepers, "everybody waits and nobody sleeps"
            due, _, woken = heapq.heappop(self._sleepers)
            self.time = max(self.time, due)
            if not woken.done():
                woken.set_result(None)
        return list(await asyncio.gather(*tasks, return_exceptions=True))


class MiddleRandom:
    def __init__(self) -> None:
        self.tokens = 0

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def token(self, length: int) -> str:
        self.tokens += 1
        return f"nonce{self.tokens}"


class ListObserver:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def event(self, name: str, /, **fields: Any) -> None:
        self.calls.append(("event", name, fields))

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:
        self.calls.append(("count", metric, amount, labels))

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:
        self.calls.append(("gauge", metric, value, labels))

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:
        self.calls.append(("observe", metric, seconds, labels))

    def outcomes(self) -> list[str]:
        return [call[3]["outcome"] for call in self.calls if call[1] == "marketsync_http_requests_total"]


class FakeTransport:
    """Answers from a script; an exception in it is raised."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.script: list[Response | Exception] = []
        self.sent: list[Request] = []

    def answers(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.append(Response(status, named, body, self.clock.monotonic()))

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def close(self) -> None:
        return None


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.random = MiddleRandom()
        self.observer = ListObserver()
        self.transport = FakeTransport(self.clock)
        self.budgets = Budgets(self.clock, (Budget("plenty", 1000, 1.0, 1000), Budget("scarce", 1, 60.0)))

    def http(
        self,
        auth: Auth | OAuth2 | None = None,
        base_url: str = "https://shop.example/api",
        tokens: Tokens | None = None,
    ) -> Http:
        return Http(
            connection="shop",
            base_url=base_url,
            auth=auth or ApiKey("Authorization", "Bearer canary-secret"),
            tokens=tokens,
            other_hosts=("files.example",),
            operations=(
                Operation("token", "plenty", retries=0),
                Operation("orders.read", "plenty"),
                Operation("order.create", "plenty"),
                Operation("stock.write", "scarce"),
                Operation("list.read", "scarce", budget_wait_seconds=120.0),
                Operation("order.undo", "plenty", auth_prefix="IAF "),
            ),
            budgets=self.budgets,
            transport=self.transport,
            clock=self.clock,
            random=self.random,
            observer=self.observer,
        )


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture(scope="session")
def new_clock() -> Callable[[], FakeClock]:
    return FakeClock
