"""The world over real HTTP: one loopback port for each far side, on the clock that the daemon shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime

from aiohttp import web

from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.answers import wrong_answer
from marketsync.sandbox.faults import Dice, Fault
from marketsync.sandbox.world import World

HOST = "127.0.0.1"
LANDS_LATE_SECONDS = 20.0
BODY_BYTES_MAX = 32 * 1024 * 1024
_HOP_BY_HOP = ("content-length", "transfer-encoding", "connection", "date")


@asynccontextmanager
async def serve(
    world: World, clock: Clock, dice: Dice, ports: Mapping[str, int] | None = None
) -> AsyncIterator[Mapping[str, str]]:
    """Yields the address of each side by name. `ports` fixes those of some sides; the others take what is free."""
    async with AsyncExitStack() as stack:
        addresses = {}
        for name in (*world.marketplaces, *world.shops):
            door = _Door(name, world, clock, dice)
            port = (ports or {}).get(name, 0)
            addresses[name] = await stack.enter_async_context(_listening(door, port))
        yield addresses


class _Door:
    """What arrives at one side. A network fault shows as a cut: nobody waits for a time-out in a rehearsal."""

    def __init__(self, name: str, world: World, clock: Clock, dice: Dice) -> None:
        self._name = name
        self._world = world
        self._clock = clock
        self._dice = dice
        self.address = ""

    async def handle(self, received: web.Request) -> web.StreamResponse:
        request = Request(
            connection=self._name,
            operation="",
            method=received.method,
            url=self.address + received.raw_path,
            headers=tuple(received.headers.items()),
            body=await received.read(),
        )
        response = await self._travel(request, self._dice.draw())
        if response is None:
            return _cut(received)
        headers = {name: value for name, value in response.headers.items() if name not in _HOP_BY_HOP}
        # Else the library would tell the machine's time, and a scaled clock runs away from it.
        headers["Date"] = response.headers.get("date") or format_datetime(self._clock.now(), usegmt=True)
        return web.Response(status=response.status, headers=headers, body=response.body)

    async def _travel(self, request: Request, fault: Fault) -> Response | None:
        """None where the connection is cut without an answer."""
        match fault:
            case Fault.REQUEST_LOST:
                return None
            case Fault.ANSWER_LOST | Fault.HANG:
                self._arrive(request)
                return None
            case Fault.CUT:
                if self._dice.coin():
                    self._arrive(request)
                return None
            case Fault.LATE:
                self._land_later(request)
                return None
            case Fault.DUPLICATE:
                self._land_later(request)
            case Fault.SLOW:
                response = self._arrive(request)
                await self._clock.sleep(self._dice.between(1.0, 5.0))
                return response
            case Fault.NONE | Fault.NOT_SENT:
                pass
            case _:
                return wrong_answer(fault, lambda: self._arrive(request), self._dice, self._clock.now())
        return self._arrive(request)

    def _arrive(self, request: Request) -> Response:
        return self._world.handle(self._name, request, self._clock.now())

    def _land_later(self, request: Request) -> None:
        after = timedelta(seconds=self._dice.between(0.0, LANDS_LATE_SECONDS))
        self._world.land(self._name, request, self._clock.now() + after)


@asynccontextmanager
async def _listening(door: _Door, port: int) -> AsyncIterator[str]:
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.router.add_route("*", "/{path:.*}", door.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        door.address = f"http://{HOST}:{runner.addresses[0][1]}"
        yield door.address
    finally:
        await runner.cleanup()


def _cut(received: web.Request) -> web.StreamResponse:
    if received.transport is not None:
        received.transport.abort()
    return web.Response(status=500)
