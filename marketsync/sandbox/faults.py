"""A network that loses, delays, garbles and repeats: `ports.Transport` over a world in this process.

Each fault says what the far side did and what we see of it, which is all that a sender's rules depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NoReturn, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from marketsync.errors import InDoubt, MarketsyncError, ReadFailed, Retry, TooLate
from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.answers import wrong_answer
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.kinds import Fault, Rates

__all__ = ["Dice", "Exchange", "FarWorld", "Fault", "FaultyTransport", "Rates", "kinds"]

T = TypeVar("T")


class Dice:
    """Which fault meets a request, and how long things take. `quiet` ends all faults from then on."""

    def __init__(self, rates: Rates, chance: Chance) -> None:
        self.injected: dict[Fault, int] = {}
        self._chance = chance
        self.rates = rates

    @property
    def rates(self) -> Rates:
        return self._rates

    @rates.setter
    def rates(self, rates: Rates) -> None:
        self._rates = rates
        known = [(fault, getattr(rates, fault.value)) for fault in Fault if fault is not Fault.NONE]
        self._table = [(fault, rate) for fault, rate in known if rate > 0]

    def quiet(self) -> None:
        self.rates = Rates(steady=self.rates.steady)

    def draw(self) -> Fault:
        point = self._chance.uniform(0.0, 1.0)
        drawn = Fault.NONE
        for fault, rate in self._table:
            point -= rate
            if point < 0:
                drawn = fault
                break
        self.injected[drawn] = self.injected.get(drawn, 0) + 1
        return drawn

    def between(self, low: float, high: float) -> float:
        return low if self.rates.steady else self._chance.uniform(low, high)

    def coin(self) -> bool:
        return self._chance.happens(0.5)

    def pick(self, choices: Sequence[T]) -> T:
        return self._chance.pick(choices)


class FarWorld(Protocol):
    """What the network leads to. `land` is a request that arrives at `at`, whoever still waits for it."""

    def handle(self, name: str, request: Request, now: datetime) -> Response: ...
    def land(self, name: str, request: Request, at: datetime) -> None: ...


class Exchange(msgspec.Struct, frozen=True):
    """One line of the network's log. `status` is 0 where no answer came; `target` is the path with its query."""

    at: datetime
    connection: str
    operation: str
    fault: Fault
    status: int
    target: str


class FaultyTransport:
    """`lands_within` is the most that a late request takes after its sender gave up, by connection, in seconds.

    `boundary` is told before a request leaves and after its answer came: a crash point of the simulator.
    """

    def __init__(
        self,
        world: FarWorld,
        clock: Clock,
        dice: Dice,
        lands_within: Callable[[str], float],
        boundary: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.log: list[Exchange] = []
        self._world = world
        self._clock = clock
        self._dice = dice
        self._lands_within = lands_within
        self._boundary = boundary

    async def close(self) -> None:
        return None

    async def send(self, request: Request) -> Response:
        self._boundary("http.before")
        fault = self._dice.draw()
        try:
            response = await self._send(request, fault)
        except MarketsyncError:
            self._note(request, fault, 0)
            self._boundary("http.after")
            raise
        self._note(request, fault, response.status)
        self._boundary("http.after")
        return response

    async def _send(self, request: Request, fault: Fault) -> Response:
        await self._clock.sleep(self._dice.between(0.005, 0.2))
        if fault is Fault.NOT_SENT:
            raise Retry(f"no connection to {request.connection}")
        if request.send_by is not None and self._clock.monotonic() >= request.send_by:
            raise TooLate
        began = self._clock.monotonic()
        response = await self._travel(request, fault, began)
        if response is None:
            await self._clock.sleep(max(0.0, began + request.total_seconds - self._clock.monotonic()))
            self._fail(request, "no whole answer in time")
        return replace(response, received_at=self._clock.monotonic())

    async def _travel(self, request: Request, fault: Fault, began: float) -> Response | None:  # noqa: RET503 - `_fail` never returns
        """None where no answer ever comes."""
        await self._clock.sleep(self._dice.between(0.01, 0.4))
        match fault:
            case Fault.NONE | Fault.NOT_SENT | Fault.DUPLICATE | Fault.SLOW:
                return await self._answered(request, fault)
            case Fault.REQUEST_LOST:
                return None
            case Fault.ANSWER_LOST:
                self._arrive(request)
                return None
            case Fault.HANG:
                await self._clock.sleep(self._dice.between(0.0, 0.9) * request.total_seconds)
                self._arrive(request)
                return None
            case Fault.LATE:
                gone = began + request.total_seconds - self._clock.monotonic()
                lands_in = gone + self._dice.between(0.0, self._lands_within(request.connection))
                self._world.land(request.connection, request, self._clock.now() + timedelta(seconds=lands_in))
                return None
            case Fault.CUT:
                if self._dice.coin():
                    self._arrive(request)
                self._fail(request, "the connection was cut")
            case _:
                return wrong_answer(fault, lambda: self._arrive(request), self._dice, self._clock.now())

    async def _answered(self, request: Request, fault: Fault) -> Response:
        response = self._arrive(request)
        if fault is Fault.DUPLICATE:
            after = timedelta(seconds=self._dice.between(0.0, 20.0))
            self._world.land(request.connection, request, self._clock.now() + after)
        slow = self._dice.between(0.2, 0.9) * request.total_seconds if fault is Fault.SLOW else 0.0
        await self._clock.sleep(slow or self._dice.between(0.01, 0.4))
        return response

    def _arrive(self, request: Request) -> Response:
        return self._world.handle(request.connection, request, self._clock.now())

    def _fail(self, request: Request, reason: str) -> NoReturn:
        text = f"{request.operation}: {reason}"
        raise InDoubt(text) if request.write else ReadFailed(text)

    def _note(self, request: Request, fault: Fault, status: int) -> None:
        target = "/" + request.url.split("/", 3)[-1]
        self.log.append(
            Exchange(self._clock.now(), request.connection, request.operation, fault, status, target)
        )


def kinds(dice: Dice) -> Iterator[tuple[Fault, int]]:
    """What was injected, in the order of the faults' declaration."""
    for fault in Fault:
        if fault is not Fault.NONE and dice.injected.get(fault):
            yield fault, dice.injected[fault]
