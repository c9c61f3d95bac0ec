"""The real adapter and the real HTTP client over the simulated Amazon, in one process and in hand-made time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from adapters.amazon import ADAPTER
from adapters.amazon.adapter import Amazon
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_world import Behaviour
from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.errors import InDoubt
from marketsync.http import BuildContext, client_of
from marketsync.ports import Departure, ProbeSpan, Request, Response
from tests.fuzz.rig import START, Chance, Clock

URL = "https://sellingpartnerapi-eu.example"
DE = "A1PA6795UKMFR9"


class Quiet:
    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class SandboxTransport:
    """Carries requests to the sandbox. `lose_answers` of the next writes, which are applied all the same; `instead` answers
    the next call of an operation, `always` every one."""

    def __init__(self, sandbox: AmazonSandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.sent: list[Request] = []
        self.lose_answers = 0
        self.instead: dict[str, tuple[int, bytes]] = {}
        self.always: dict[str, tuple[int, bytes]] = {}

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        instead = self.instead.pop(request.operation, None) or self.always.get(request.operation)
        if instead is not None:
            return Response(instead[0], {}, instead[1], self.clock.monotonic())
        response = self.sandbox.handle(request, self.clock.now())
        if request.write and self.lose_answers:
            self.lose_answers -= 1
            raise InDoubt("the answer was lost")
        return msgspec.structs.replace(response, received_at=self.clock.monotonic())

    async def close(self) -> None: ...


class Rig:
    def __init__(self, behaviour: Behaviour, **settings: Any) -> None:
        self.clock = Clock()
        self.sandbox = AmazonSandbox({"TEA-1": 10, "MUG-2": 3}, behaviour)
        self.transport = SandboxTransport(self.sandbox, self.clock)
        stated = {
            "client_id": "sandbox-client", "client_secret": "cred:secret", "refresh_token": "cred:refresh",
            "seller_id": behaviour.seller_id, "marketplace_ids": behaviour.marketplace_ids, "url": URL,
            "token_url": f"{URL}/auth/o2/token", **settings,
        }  # fmt: skip
        chosen = ADAPTER.settings(**stated)
        plan = ADAPTER.plan(chosen, {"client_secret": "sandbox-secret", "refresh_token": "sandbox-refresh"})
        http = client_of(
            plan, "amazon", transport=self.transport, clock=self.clock, random=Chance(), observer=Quiet()
        )
        context = BuildContext(MerchantId("main"), ConnectionId("amazon"), http, self.clock)
        built = ADAPTER.build(context, chosen)
        assert isinstance(built, Amazon)
        self.adapter, self.http, self.plan = built, http, plan

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    def place(self, *lines: tuple[str, int]) -> str:
        order_id = self.sandbox.place_order(self.now, lines or (("TEA-1", 2), ("MUG-2", 1)))
        assert order_id is not None
        return order_id

    def paid(self, *lines: tuple[str, int]) -> str:
        """An order that may be shipped."""
        order_id = self.place(*lines)
        self.wait(1900)
        return order_id

    def sold(self, order_id: str) -> Any:
        self.sandbox.arrive(self.now)
        return self.sandbox.world.orders[order_id]

    def departure(self, attempt: int = 1, within: float = 90.0) -> Departure:
        return Departure(attempt, self.clock.monotonic() + within)

    def span(self) -> ProbeSpan:
        return ProbeSpan(START, self.now + timedelta(seconds=1))

    def operations(self) -> list[str]:
        return [request.operation for request in self.transport.sent if request.operation != "token"]


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    def make(settings: dict[str, Any] | None = None, **behaviour: Any) -> Rig:
        return Rig(Behaviour(**{"stale_seconds": 0.0, **behaviour}), **(settings or {}))

    return make
