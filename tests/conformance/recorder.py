"""What a contract is held against: every exchange between an adapter and its sandbox, as both saw it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from marketsync.ports import Request, Response


class Answers(Protocol):
    def handle(self, request: Request, now: datetime) -> Response: ...


class Exchange(msgspec.Struct):
    request: Request
    response: Response


class Recorder:
    """Carries to the sandbox and keeps both sides of each exchange: transport, clock, chance and observer in one. Its clock
    runs past every budget."""

    def __init__(self, far: Answers, start: datetime) -> None:
        self._far = far
        self._start = start
        self.time = 1000.0
        self.exchanges: list[Exchange] = []

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def send(self, request: Request) -> Response:
        response = self._far.handle(request, self.now())
        response = msgspec.structs.replace(response, received_at=self.time)
        self.exchanges.append(Exchange(request, response))
        return response

    async def close(self) -> None: ...
    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2

    def token(self, length: int) -> str:
        return "n" * length

    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...
