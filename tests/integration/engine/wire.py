"""A network in the hands of a test: what happens to which request, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec

from marketsync.errors import InDoubt, ReadFailed
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Fault, FaultyTransport, Rates
from marketsync.sandbox.world import World
from tests.simulation.life import VirtualClock
from tests.simulation.scenario import LANDS_WITHIN

Handler = Callable[["Wire", Request], Awaitable[Response]]


class Gate:
    """Where a request or an answer waits until the test lets it go."""

    def __init__(self) -> None:
        self.reached = False
        self.request: Request | None = None
        self._open = asyncio.Event()

    async def wait(self, request: Request) -> None:
        self.reached, self.request = True, request
        await self._open.wait()

    def open(self) -> None:
        self._open.set()


class Rule(msgspec.Struct):
    operation: str
    connection: str | None
    handler: Handler
    skip: int
    times: int

    def meets(self, request: Request) -> bool:
        if request.operation != self.operation or self.connection not in {None, request.connection}:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class Script:
    """What happens to the next requests of an operation, in the order in which it was said. Outlives a life."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def on(
        self,
        operation: str,
        handler: Handler,
        *,
        connection: str | None = None,
        skip: int = 0,
        times: int = 1,
    ) -> None:
        self.rules.append(Rule(operation, connection, handler, skip, times))

    def clear(self) -> None:
        self.rules.clear()

    def handler(self, request: Request) -> Handler | None:
        return next((rule.handler for rule in self.rules if rule.meets(request)), None)


class Wire(FaultyTransport):
    """A network without faults but those of the script."""

    def __init__(
        self, world: World, clock: VirtualClock, script: Script, reach: Callable[[str], None]
    ) -> None:
        self.dice = _Chosen()
        super().__init__(world, clock, self.dice, LANDS_WITHIN.__getitem__, reach)
        self.world = world
        self.clock = clock
        self._script = script

    async def send(self, request: Request) -> Response:
        handler = self._script.handler(request)
        return await (self.plain(request) if handler is None else handler(self, request))

    async def plain(self, request: Request, fault: Fault = Fault.NONE) -> Response:
        self.dice.chosen = fault
        return await super().send(request)

    def land(self, request: Request, after_seconds: float) -> None:
        self.world.land(request.connection, request, self.clock.now() + timedelta(seconds=after_seconds))


class _Chosen(Dice):
    def __init__(self) -> None:
        super().__init__(Rates(steady=True), Chance(1))
        self.chosen = Fault.NONE

    def draw(self) -> Fault:
        drawn, self.chosen = self.chosen, Fault.NONE
        return drawn


def meeting(fault: Fault) -> Handler:
    return lambda wire, request: wire.plain(request, fault)


def late(after_seconds: float) -> Handler:
    """No answer in time; it lands so long after we gave up."""

    async def handler(wire: Wire, request: Request) -> Response:
        wire.land(request, request.total_seconds + after_seconds)
        await wire.clock.sleep(request.total_seconds)
        text = f"{request.operation}: no whole answer in time"
        raise InDoubt(text) if request.write else ReadFailed(text)

    return handler


def again(after_seconds: float) -> Handler:
    """The path delivers it a second time, so much later (this breaks an assumption of A25)."""

    async def handler(wire: Wire, request: Request) -> Response:
        wire.land(request, after_seconds)
        return await wire.plain(request)

    return handler


def answered(
    status: int, body: bytes = b"{}", *, lands_after: float | None = None, **headers: str
) -> Handler:
    """Somebody on the way answers instead; `lands_after`: the request arrives all the same."""

    async def handler(wire: Wire, request: Request) -> Response:
        if lands_after is not None:
            wire.land(request, lands_after)
        await wire.clock.sleep(0.05)
        shown = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return Response(status, shown, body, wire.clock.monotonic())

    return handler


def held(gate: Gate) -> Handler:
    """The process stalls with the request in hand."""

    async def handler(wire: Wire, request: Request) -> Response:
        await gate.wait(request)
        return await wire.plain(request)

    return handler


def answer_held(gate: Gate) -> Handler:
    """It took effect; its answer comes when the test says so."""

    async def handler(wire: Wire, request: Request) -> Response:
        response = await wire.plain(request)
        await gate.wait(request)
        return msgspec.structs.replace(response, received_at=wire.clock.monotonic())

    return handler


def then(action: Callable[[Request], None]) -> Handler:
    """Somebody acts between this answer and the next request."""

    async def handler(wire: Wire, request: Request) -> Response:
        response = await wire.plain(request)
        action(request)
        return response

    return handler


def altered(change: Callable[[Response], Response]) -> Handler:
    async def handler(wire: Wire, request: Request) -> Response:
        return change(await wire.plain(request))

    return handler
