"""The far sides in a process of their own, whose CPU counts for nobody: `python -m tests.bench.server '{...}'`.

Prints its port. `GET /control/log` tells what was asked so far, `POST /control/go` lets order lists be answered
that `hold` keeps waiting.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qs

import msgspec

from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.ports import Clock
from tests.bench.far_side import JSON, REPLY, Marketplace, Shop

_REASONS = {200: "OK", 201: "Created", 204: "No Content", 404: "Not Found"}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`factor`, `since` and `at` say the time that the other process lives in (ScaledClock)."""

    orders: int = 0
    state: str = "ready"
    hold: bool = False
    ships: bool = False
    factor: float = 1.0
    since: float | None = None
    at: datetime | None = None


class Log(msgspec.Struct):
    """`first_at`: monotonic seconds of the first request to a marketplace; calls by side, "held" ones too."""

    first_at: float | None = None
    first_list_at: float | None = None
    marketplace: int = 0
    lists: int = 0
    shop: int = 0
    held: int = 0
    created: int = 0


class FarSides:
    def __init__(self, plan: Plan, clock: Clock) -> None:
        self._clock = clock
        self._marketplace = Marketplace(plan.orders, plan.state, clock.now())
        self._shop = Shop(ships=plan.ships)
        self._holding = plan.hold
        self._held: list[tuple[asyncio.Transport, str, str, bytes]] = []
        self._log = Log()

    def take(self, transport: asyncio.Transport, method: str, target: str, body: bytes) -> None:
        if self._holding and target.startswith("/marketplace/orders?"):
            self._held.append((transport, method, target, body))
            self._log.held += 1
            self._log.first_list_at = self._log.first_list_at or time.monotonic()
            return
        status, answer, more = self._answer(method, target, body)
        head = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}", f"Content-Length: {len(answer)}"]
        head += ["Content-Type: application/json", f"Date: {self._date()}"]
        head += [f"{name}: {value}" for name, value in more]
        transport.write("\r\n".join((*head, "", "")).encode() + answer)

    def _answer(self, method: str, target: str, body: bytes) -> REPLY:
        path, _, text = target.partition("?")
        query = parse_qs(text) if text else {}
        if path.startswith("/control/"):
            return self._control(path)
        if path.startswith("/marketplace"):
            self._count_marketplace(path)
            return self._marketplace.answer(method, path, query, body, self._clock.now())
        self._log.shop += 1
        return self._shop.answer(method, path, query, body, self._clock.now())

    def _count_marketplace(self, path: str) -> None:
        now = time.monotonic()
        self._log.marketplace += 1
        self._log.first_at = self._log.first_at or now
        if path == "/marketplace/orders":
            self._log.lists += 1
            self._log.first_list_at = self._log.first_list_at or now

    def _control(self, path: str) -> REPLY:
        if path == "/control/go":
            self._holding = False
            waiting, self._held = self._held, []
            for request in waiting:
                self.take(*request)
        self._log.created = len(self._shop.orders)
        return 200, JSON.encode(self._log), ()

    def _date(self) -> str:
        return format_datetime(self._clock.now().replace(microsecond=0), usegmt=True)


class Door(asyncio.Protocol):
    """HTTP/1.1, one request after the other, no chunked bodies: all that is asked of it."""

    def __init__(self, sides: FarSides) -> None:
        self._sides = sides
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            length = _length(head)
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            method, target, _ = head.partition("\r\n")[0].split(" ", 2)
            self._sides.take(self._transport, method, target, body)


def _length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(plan: Plan) -> None:
    clock: Clock = SystemClock()
    if plan.factor != 1.0:
        clock = ScaledClock(clock, plan.factor, since=plan.since, at=plan.at)
    sides = FarSides(plan, clock)
    server = await asyncio.get_running_loop().create_server(lambda: Door(sides), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(msgspec.json.decode(sys.argv[1], type=Plan)))
