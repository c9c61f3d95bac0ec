"""The adapter over its simulated shop, through the real client and a transport in process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.woocommerce.adapter import ADAPTER, WooCommerce, plan
from adapters.woocommerce.sandbox import WooSandbox
from adapters.woocommerce.sandbox_shop import Order as ShopOrder
from adapters.woocommerce.sandbox_shop import WooShop
from adapters.woocommerce.settings import Settings
from marketsync.domain.deliveries import Kind, ProbeAnswer
from marketsync.domain.ids import (
    ConnectionId,
    LineId,
    MerchantId,
    OrderId,
    OrderKey,
    Reference,
    RemoteId,
    Sku,
)
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax, TaxCollector
from marketsync.domain.unmarked import by_itself
from marketsync.errors import InDoubt
from marketsync.http import BuildContext, client_of
from marketsync.ports import (
    CancelOrder,
    CreateOrder,
    Departure,
    OpenOrder,
    ProbeSpan,
    Request,
    ResolvedLine,
    Response,
    StepDone,
    UpdateOrder,
)

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
REF = Reference("ms-abc123-conn-order000000001")


class Clock:
    """Time moves on by what is waited for."""

    def __init__(self) -> None:
        self.time = 0.0

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


class Chance:
    def __init__(self) -> None:
        self.drawn = 0

    def uniform(self, low: float, high: float) -> float:
        return low

    def token(self, length: int) -> str:
        self.drawn += 1
        return f"{self.drawn:0{length}d}"


class Silent:
    def event(self, name: str, /, **fields: Any) -> None: ...
    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None: ...
    def gauge(self, metric: str, value: float, /, **labels: str) -> None: ...
    def observe(self, metric: str, seconds: float, /, **labels: str) -> None: ...


class Wire:
    """Carries requests to the sandbox. `lose_answers` applies the next writes and loses what they answered."""

    def __init__(self, sandbox: WooSandbox, clock: Clock) -> None:
        self.sandbox, self.clock = sandbox, clock
        self.sent: list[Request] = []
        self.lose_answers = 0
        self.before: Callable[[Request], None] = lambda _: None
        self.headers_lost: tuple[str, ...] = ()

    async def send(self, request: Request) -> Response:
        self.before(request)
        self.sent.append(request)
        response = self.sandbox.handle(request, self.clock.now())
        if request.write and self.lose_answers:
            self.lose_answers -= 1
            raise InDoubt("the connection was cut")
        headers = {name: value for name, value in response.headers.items() if name not in self.headers_lost}
        return replace(response, headers=headers, received_at=self.clock.monotonic())

    async def close(self) -> None:
        return None

    @property
    def writes(self) -> list[str]:
        return [request.method for request in self.sent if request.write]


class Bench:
    """A shop with two simple articles, A (10 pieces) and B (5)."""

    def __init__(
        self, sandbox: WooSandbox | None = None, url: str = "https://shop.example", **settings: Any
    ) -> None:
        self.clock = Clock()
        self.sandbox = sandbox or WooSandbox()
        self.shop: WooShop = self.sandbox.shop
        self.wire = Wire(self.sandbox, self.clock)
        self.settings = Settings(url=url, consumer_key="key", consumer_secret="secret", **settings)
        planned = plan(self.settings, {"consumer_key": "ck_demo", "consumer_secret": "cs_demo"})
        self.http = client_of(
            planned, "shop", transport=self.wire, clock=self.clock, random=Chance(), observer=Silent()
        )
        context = BuildContext(MerchantId("main"), ConnectionId("shop"), self.http, self.clock)
        adapter = ADAPTER.build(context, self.settings)
        assert isinstance(adapter, WooCommerce)
        self.adapter = adapter
        self.a = self.shop.add_product("A", 10, START)
        self.b = self.shop.add_product("B", 5, START)

    def order(self, *lines: OrderLine, **changes: Any) -> Order:
        address = Address("Ada", "Example", "1 Sample Street", "Paris", "75001", "FR")
        order = Order(
            key=OrderKey(MerchantId("main"), ConnectionId("conn"), OrderId("M-1")),
            created_at=START,
            updated_at=START,
            currency="EUR",
            total=Decimal("25.90"),
            prices_include_tax=True,
            lines=lines or (self.line("1", "A", 2, "20.00", "3.33"), self.line("2", "B", 1, "5.90", "0.98")),
            buyer=Party("Ada Example", email="ada@buyer.example"),
            ship_to=address,
            paid=True,
        )
        return replace(order, **changes)

    def line(
        self, line_id: str, sku: str, quantity: int, total: str, tax: str = "0", **changes: Any
    ) -> OrderLine:
        taxes = (Tax("VAT", Decimal(tax), collector=changes.pop("collector", TaxCollector.SELLER)),)
        line = OrderLine(LineId(line_id), Sku(sku), quantity, Decimal(total), taxes=taxes)
        return replace(line, **changes)

    def resolved(self, order: Order) -> tuple[ResolvedLine, ...]:
        return tuple(ResolvedLine(line.line_id, line.sku, self.remote_id(line.sku)) for line in order.lines)

    def remote_id(self, sku: str) -> RemoteId:
        product = self.shop.product_of(sku)
        return RemoteId(f"{product.parent_id}/{product.id}" if product.parent_id else str(product.id))

    def create(self, order: Order | None = None) -> CreateOrder:
        order = order or self.order()
        return CreateOrder(REF, order, self.resolved(order))

    def update(self, order: Order, remote_id: str) -> UpdateOrder:
        return UpdateOrder(REF, RemoteId(remote_id), order, self.resolved(order))

    def cancel(self, remote_id: str) -> CancelOrder:
        return CancelOrder(REF, RemoteId(remote_id), OrderId("M-1"))

    async def send(self, kind: Kind, payload: Any, step: int = 0, checkpoint: str = "") -> StepDone:
        departure = Departure(1, self.clock.monotonic() + 60)
        result = await self.adapter.writers[kind].send(payload, step, checkpoint, departure)
        assert isinstance(result, StepDone)
        return result

    async def probe(self, kind: Kind, payload: Any, step: int = 0, checkpoint: str = "") -> ProbeAnswer:
        span = ProbeSpan(START - timedelta(seconds=60), self.clock.now())
        return by_itself(await self.adapter.writers[kind].probe(payload, step, checkpoint, span), ())

    async def created(self, payload: CreateOrder | None = None) -> tuple[CreateOrder, StepDone]:
        """An order that is pending in the shop, for a while already."""
        payload = payload or self.create()
        done = await self.send(Kind.CREATE, payload)
        await self.clock.sleep(60.0)
        return payload, done

    async def released(self, payload: CreateOrder | None = None) -> ShopOrder:
        payload, done = await self.created(payload)
        await self.send(Kind.CREATE, payload, 1, done.checkpoint)
        return self.shop.orders[int(done.remote_id)]

    def open(self, held: ShopOrder, order: Order | None = None) -> OpenOrder:
        return OpenOrder(REF, RemoteId(str(held.id)), order or self.order())


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def new_bench() -> type[Bench]:
    return Bench
