"""The network of one check: it loses what it is told to lose, and keeps every exchange."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Fault, FaultyTransport, Rates
from marketsync.sandbox.roles import Side

T = TypeVar("T")


class Trouble(msgspec.Struct, frozen=True):
    """A fault and how it falls out: `done` where the far side may have done the work or not, `late` from 0 to 1 of the
    time that it may take."""

    fault: Fault = Fault.NONE
    done: bool = True
    late: float = 0.0

    def __str__(self) -> str:
        words = [self.fault.value.replace("_", " ")]
        if self.fault in (Fault.CUT, Fault.HTML_PAGE):
            words.append("done" if self.done else "not done")
        if self.fault in (Fault.LATE, Fault.HANG):
            words.append("at the end" if self.late else "at once")
        return " ".join(words)


CLEAR = Trouble()
WRITE_TROUBLES = (
    Trouble(Fault.NOT_SENT), Trouble(Fault.REQUEST_LOST), Trouble(Fault.ANSWER_LOST), Trouble(Fault.HANG, late=1.0),
    Trouble(Fault.LATE), Trouble(Fault.LATE, late=0.9), Trouble(Fault.CUT), Trouble(Fault.CUT, done=False),
    Trouble(Fault.SLOW), Trouble(Fault.ERROR_BEFORE), Trouble(Fault.ERROR_AFTER), Trouble(Fault.TIMEOUT_BEFORE),
    Trouble(Fault.TIMEOUT_AFTER), Trouble(Fault.REFUSED_BEFORE), Trouble(Fault.FORBIDDEN), Trouble(Fault.UNAUTHORISED),
    Trouble(Fault.THROTTLED_SECONDS), Trouble(Fault.MALFORMED), Trouble(Fault.HTML_PAGE),
    Trouble(Fault.HTML_PAGE, done=False), Trouble(Fault.CHARSET), Trouble(Fault.EMPTY),
)  # fmt: skip
"""What may meet one write without breaking an assumption that an adapter states."""
READ_TROUBLES = (
    Trouble(Fault.HTML_PAGE), Trouble(Fault.MALFORMED), Trouble(Fault.CHARSET), Trouble(Fault.EMPTY),
    Trouble(Fault.ERROR_BEFORE), Trouble(Fault.REQUEST_LOST), Trouble(Fault.CUT),
)  # fmt: skip


class Sent(msgspec.Struct, frozen=True):
    """A request that left, and when on the monotonic clock."""

    request: Request
    at: float


class Exchange(msgspec.Struct, frozen=True):
    """A request that arrived, and the far side's true answer, whatever became of it on its way back."""

    request: Request
    response: Response


class Wire:
    """A Transport; `log` is what left. `before` is told of each request, `edit` changes an answer on its way; `token` is the
    operation that fetches tokens.

    `troubles` wait for the next writes, or for the next reads (but not for those of tokens), one each.
    """

    def __init__(self, side: Side, clock: Clock, token: str = "") -> None:
        self.log: list[Sent] = []
        self.exchanges: list[Exchange] = []
        self.before: Callable[[Request], None] = lambda _: None
        self.edit: Callable[[Request, Response], Response] = lambda _, response: response
        self.lands_within_seconds = 0.0
        self.token = token
        self._side, self._clock = side, clock
        self._script = _Script()
        self._writes: list[Trouble] = []
        self._reads: list[Trouble] = []
        self._landing: list[tuple[datetime, int, Request]] = []
        self._carrier = FaultyTransport(self, clock, self._script, lambda _: self.lands_within_seconds)

    @property
    def sent(self) -> list[Request]:
        return [entry.request for entry in self.log]

    @property
    def statuses(self) -> list[int]:
        return [exchange.response.status for exchange in self.exchanges]

    @property
    def writes(self) -> list[Request]:
        return [entry.request for entry in self.log if entry.request.write]

    def next_writes(self, *troubles: Trouble) -> None:
        self._writes = list(troubles)

    def next_reads(self, *troubles: Trouble) -> None:
        self._reads = list(troubles)

    async def send(self, request: Request) -> Response:
        self.before(request)
        self.log.append(Sent(request, self._clock.monotonic()))
        self._script.trouble = self._trouble(request)
        return self.edit(request, await self._carrier.send(request))

    async def close(self) -> None:
        return None

    def handle(self, name: str, request: Request, now: datetime) -> Response:  # noqa: ARG002 - a FarWorld's
        self.catch_up(now)
        response = self._side.handle(request, now)
        self.exchanges.append(Exchange(request, response))
        return response

    def land(self, name: str, request: Request, at: datetime) -> None:  # noqa: ARG002 - a FarWorld's
        heapq.heappush(self._landing, (at, len(self.log), request))

    def catch_up(self, now: datetime) -> None:
        """What was under way until now has arrived, each at its own time."""
        while self._landing and self._landing[0][0] <= now:
            at, _, request = heapq.heappop(self._landing)
            self._side.handle(request, at)

    def _trouble(self, request: Request) -> Trouble:
        waiting = self._writes if request.write else self._reads
        if request.operation == self.token or not waiting:
            return CLEAR
        return waiting.pop(0)


class _Script(Dice):
    """Draws what it was told to."""

    def __init__(self) -> None:
        super().__init__(Rates(), Chance(0))
        self.trouble = CLEAR

    def draw(self) -> Fault:
        return self.trouble.fault

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.trouble.late

    def coin(self) -> bool:
        return self.trouble.done

    def pick(self, choices: Sequence[T]) -> T:
        return choices[0]
