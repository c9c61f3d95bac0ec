"""A network that loses, delays, garbles and repeats: `ports.Transport` over a world in this process.

Each fault says what the far side did and what we see of it, which is all that a sender's rules depend on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import NoReturn, Protocol, assert_never

import msgspec
from msgspec.structs import replace

from marketsync.errors import InDoubt, MarketsyncError, ReadFailed, Retry, TooLate
from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.chance import Chance


class Fault(enum.Enum):
    NONE = "none"
    NOT_SENT = "not_sent"
    """No name, no connection: it certainly did not leave."""
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    ERROR_BEFORE = "error_before"
    """A 5xx, and nothing was done."""
    ERROR_AFTER = "error_after"
    """A 5xx, although it was done."""
    LATE = "late"
    """We give up, and it lands afterwards."""
    THROTTLED = "throttled"
    MALFORMED = "malformed"
    """Done, and the 2xx can't be read."""
    CUT = "cut"
    """The connection ends, done or not."""
    SLOW = "slow"
    DUPLICATE = "duplicate"
    """The path delivers it twice. This breaks an assumption (A25), so it is off unless asked for."""


class Rates(msgspec.Struct, frozen=True):
    """The probability of each fault for one request. `steady` keeps connecting and answering at a constant pace."""

    not_sent: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0
    late: float = 0.0
    throttled: float = 0.0
    malformed: float = 0.0
    cut: float = 0.0
    slow: float = 0.0
    duplicate: float = 0.0
    steady: bool = False

    @classmethod
    def of_all(cls, rate: float) -> Rates:
        """Every fault but the duplicate."""
        names = [name for name in cls.__struct_fields__ if name not in {"duplicate", "steady"}]
        return msgspec.convert(dict.fromkeys(names, rate), cls)


class Dice:
    """Which fault meets a request, and how long things take. `quiet` ends all faults from then on."""

    def __init__(self, rates: Rates, chance: Chance) -> None:
        self.rates = rates
        self.injected: dict[Fault, int] = {}
        self._chance = chance

    def quiet(self) -> None:
        self.rates = Rates(steady=self.rates.steady)

    def draw(self) -> Fault:
        point = self._chance.uniform(0.0, 1.0)
        drawn = Fault.NONE
        for fault in Fault:
            if fault is Fault.NONE:
                continue
            point -= getattr(self.rates, fault.value)
            if point < 0:
                drawn = fault
                break
        self.injected[drawn] = self.injected.get(drawn, 0) + 1
        return drawn

    def between(self, low: float, high: float) -> float:
        return low if self.rates.steady else self._chance.uniform(low, high)

    def coin(self) -> bool:
        return self._chance.happens(0.5)

    def retry_after(self, now: datetime) -> str | None:
        """As real servers state it, wrong ones too (failure 37)."""
        forms = (
            None, "5", "30", "-1", "soon", format_datetime(now + timedelta(seconds=20), usegmt=True),
            format_datetime(now - timedelta(days=1), usegmt=True),
        )  # fmt: skip
        return self._chance.pick(forms)

    def server_error(self) -> int:
        return self._chance.pick((500, 502, 503, 504))


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

    async def _travel(self, request: Request, fault: Fault, began: float) -> Response | None:  # noqa: RET503 - assert_never
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
            case Fault.LATE:
                gone = began + request.total_seconds - self._clock.monotonic()
                lands_in = gone + self._dice.between(0.0, self._lands_within(request.connection))
                self._world.land(request.connection, request, self._clock.now() + timedelta(seconds=lands_in))
                return None
            case Fault.ERROR_BEFORE:
                return self._error(self._dice.server_error())
            case Fault.ERROR_AFTER:
                self._arrive(request)
                return self._error(self._dice.server_error())
            case Fault.THROTTLED:
                after = self._dice.retry_after(self._clock.now())
                return self._error(429, {} if after is None else {"retry-after": after})
            case Fault.MALFORMED:
                return garbled(self._arrive(request))
            case Fault.CUT:
                if self._dice.coin():
                    self._arrive(request)
                self._fail(request, "the connection was cut")
            case _:
                assert_never(fault)

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

    def _error(self, status: int, headers: dict[str, str] | None = None) -> Response:
        return Response(status, {"content-type": "text/html", **(headers or {})}, b"<html>", 0.0)

    def _fail(self, request: Request, reason: str) -> NoReturn:
        text = f"{request.operation}: {reason}"
        raise InDoubt(text) if request.write else ReadFailed(text)

    def _note(self, request: Request, fault: Fault, status: int) -> None:
        target = "/" + request.url.split("/", 3)[-1]
        self.log.append(
            Exchange(self._clock.now(), request.connection, request.operation, fault, status, target)
        )


def garbled(response: Response) -> Response:
    """Only an answer with a body can be unreadable."""
    if not 200 <= response.status < 300 or not response.body:
        return response
    return replace(response, body=b"<br />\n<b>Warning</b>: " + response.body[: len(response.body) // 2])


def kinds(dice: Dice) -> Iterator[tuple[Fault, int]]:
    """What was injected, in the order of the faults' declaration."""
    for fault in Fault:
        if fault is not Fault.NONE and dice.injected.get(fault):
            yield fault, dice.injected[fault]
