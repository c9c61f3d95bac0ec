"""The real adapter and the real HTTP client over the simulated account, in one process and in hand-made time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from adapters.ebay import ADAPTER
from adapters.ebay.adapter import Ebay
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_world import Behaviour
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
    """Carries requests to the sandbox. `lose_answers` of the next writes, which are applied all the same; `replies` come
    instead of the sandbox's answer, by operation."""

    def __init__(self, sandbox: EbaySandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.sent: list[Request] = []
        self.lose_answers = 0
        self.replies: dict[str, list[Response]] = {}

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        if waiting := self.replies.get(request.operation):
            return msgspec.structs.replace(waiting.pop(0), received_at=self.clock.monotonic())
        response = self.sandbox.handle(request, self.clock.now())
        if request.write and self.lose_answers:
            self.lose_answers -= 1
            raise InDoubt("the answer was lost")
        return msgspec.structs.replace(response, received_at=self.clock.monotonic())

    async def close(self) -> None: ...


class Rig:
    def __init__(self, behaviour: Behaviour, **settings: Any) -> None:
        self.clock = Clock()
        prices = {"TEA-1": Decimal("10.00"), "MUG-2": Decimal("7.50")}
        self.sandbox = EbaySandbox({"TEA-1": 900, "MUG-2": 3}, behaviour, prices)
        self.transport = SandboxTransport(self.sandbox, self.clock)
        named = {"client_id": "Sandbox-App-0001", "client_secret": "cert", "refresh_token": "token"}
        chosen = msgspec.convert(named | {"url": "https://api.ebay.example"} | settings, ADAPTER.settings)
        secrets = {"client_secret": "sandbox-cert", "refresh_token": "v^1.1#sandbox-refresh"}
        http = client_of(
            ADAPTER.plan(chosen, secrets), "ebay",
            transport=self.transport, clock=self.clock, random=Chance(), observer=Quiet(),
        )  # fmt: skip
        context = BuildContext(MerchantId("main"), ConnectionId("ebay"), http, self.clock)
        built = ADAPTER.build(context, chosen)
        assert isinstance(built, Ebay)
        self.adapter = built

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def wait(self, seconds: float) -> None:
        self.clock.time += seconds

    def place(self, *lines: tuple[str, int]) -> str:
        """An order that is paid."""
        order_id = self.sandbox.place_order(self.now, lines or (("TEA-1", 2), ("MUG-2", 1)))
        assert order_id is not None
        self.wait(60)
        return order_id

    def reply(self, operation: str, status: int, body: bytes = b"{}", **headers: str) -> None:
        named = {"content-type": "application/json"} | headers
        self.transport.replies.setdefault(operation, []).append(Response(status, named, body, 0.0))

    def departure(self, attempt: int = 1) -> Departure:
        return Departure(attempt, self.clock.monotonic() + 10.0)

    def span(self) -> ProbeSpan:
        return ProbeSpan(START, self.now)

    def operations(self) -> list[str]:
        return [request.operation for request in self.transport.sent if request.operation != "token"]


@pytest.fixture
def make_rig() -> Callable[..., Rig]:
    def make(settings: dict[str, Any] | None = None, **behaviour: Any) -> Rig:
        return Rig(Behaviour(**behaviour), **(settings or {}))

    return make
