"""The real adapter and the real HTTP client over the simulated marketplace, in one process and in hand-made time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest

from adapters.mirakl import ADAPTER
from adapters.mirakl.adapter import Mirakl
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_world import Behaviour
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.errors import InDoubt
from marketsync.http import BuildContext, client_of
from marketsync.ports import Departure, ProbeSpan, Request, Response
from tests.fuzz.rig import START, Chance, Clock


class Quiet:
    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class SandboxTransport:
    """Carries requests to the sandbox. `lose_answers` of the next writes, which are applied all the same."""

    def __init__(self, sandbox: MiraklSandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.sent: list[Request] = []
        self.lose_answers = 0

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        response = self.sandbox.handle(request, self.clock.now())
        if request.write and self.lose_answers:
            self.lose_answers -= 1
            raise InDoubt("the answer was lost")
        return msgspec.structs.replace(response, received_at=self.clock.monotonic())

    async def close(self) -> None: ...


class Rig:
    def __init__(self, behaviour: Behaviour, **settings: Any) -> None:
        self.clock = Clock()
        self.sandbox = MiraklSandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        self.transport = SandboxTransport(self.sandbox, self.clock)
        chosen = ADAPTER.settings(url="https://operator.example", api_key="key", **settings)
        plan = ADAPTER.plan(chosen, {"api_key": "sandbox-key"})
        http = client_of(
            plan, "mirakl", transport=self.transport, clock=self.clock, random=Chance(), observer=Quiet()
        )
        context = BuildContext(MerchantId("main"), ConnectionId("mirakl"), http, self.clock)
        built = ADAPTER.build(context, chosen)
        assert isinstance(built, Mirakl)
        self.adapter = built

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    def place(self, *lines: tuple[str, int]) -> str:
        order_id = self.sandbox.place_order(self.now, lines or (("TEA-1", 2), ("MUG-2", 1)))
        assert order_id is not None
        return order_id

    def departure(self, attempt: int = 1) -> Departure:
        return Departure(attempt, self.clock.monotonic() + 10.0)

    def span(self) -> ProbeSpan:
        return ProbeSpan(START, self.now)

    def operations(self) -> list[str]:
        return [request.operation for request in self.transport.sent]


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    def make(settings: dict[str, Any] | None = None, **behaviour: Any) -> Rig:
        return Rig(Behaviour(**behaviour), **(settings or {}))

    return make
