"""The adapter on an Odoo, real or simulated, for the steps that both take."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

from msgspec.structs import replace

from adapters.odoo import ADAPTER
from adapters.odoo.settings import Settings
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import (
    ConnectionId,
    LineId,
    MerchantId,
    OrderId,
    OrderKey,
    RemoteId,
    Sku,
    reference,
)
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax, TaxCollector
from marketsync.errors import MarketsyncError
from marketsync.http import AdapterSpec, BuildContext, client_of
from marketsync.kit.bench import Ear
from marketsync.ports import BackOffice, Clock, CreateOrder, Departure, ResolvedLine, Transport, UpdateOrder
from marketsync.sandbox.chance import Chance

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOME = Address("Ada", "Example", "1 Sample Street", "Paris", "75001", "FR")


class Ground(Protocol):
    """An Odoo with the articles MUG (100) and TEE (50), the service articles, and taxes of 20 %: `included`, `on_top`."""

    url: str
    key: str
    database: str
    login: str
    included: int
    on_top: int

    @property
    def transport(self) -> Transport: ...
    @property
    def clock(self) -> Clock: ...
    def raw(self, model: str, method: str, **arguments: Any) -> tuple[int, Any]: ...
    def deliver_in(self, steps: int) -> None:
        """From now on: 1 sends from the shelf, 2 picks first and then sends."""

    def take_back(self, delivery: int, units: Mapping[str, int]) -> None:
        """The buyer has returned something of it."""


Shown = Any


class Stage:
    """The adapter on a ground."""

    def __init__(self, ground: Ground, name: str, **settings: Any) -> None:
        self.ground, self.name = ground, name
        spec: AdapterSpec = ADAPTER
        stated = Settings(
            url=ground.url, database=ground.database, api_key="key", login=ground.login, calls_per_minute=6000, **settings
        )  # fmt: skip
        plan = spec.plan(stated, {"api_key": ground.key})
        http = client_of(
            plan, "shop", transport=ground.transport, clock=ground.clock, random=Chance(1), observer=Ear()
        )
        context = BuildContext(MerchantId("main"), ConnectionId("shop"), http, ground.clock)
        self.adapter: BackOffice = spec.build(context, stated)  # type: ignore[assignment]

    def order(self, number: str, *lines: OrderLine, **changes: Any) -> Order:
        lines = lines or (line("1", "MUG", 2, "20.00", "3.33"), line("2", "TEE", 1, "5.90", "0.98"))
        total = sum((x.line_total + x.shipping for x in lines), changes.get("fees", Decimal(0)))
        key = OrderKey(MerchantId("main"), ConnectionId("market"), OrderId(f"{self.name}-{number}"))
        made = Order(
            key=key, created_at=START, updated_at=START, currency="EUR", total=total, prices_include_tax=True, lines=lines,
            paid=True, buyer=Party("Ada Example"), ship_to=HOME,
        )  # fmt: skip
        return replace(made, **changes)

    async def payload(self, order: Order) -> CreateOrder:
        return CreateOrder(reference("steps", order.key), order, await self._lines(order))

    async def _lines(self, order: Order) -> tuple[ResolvedLine, ...]:
        found = await self.adapter.resolve_skus([x.sku for x in order.lines])
        return tuple(ResolvedLine(x.line_id, x.sku, found[x.sku].remote_id) for x in order.lines)

    async def send(self, kind: Kind, payload: Any, step: int = 0, checkpoint: str = "") -> Any:
        departure = Departure(1, self.ground.clock.monotonic() + 120.0)
        return await self.adapter.writers[kind].send(payload, step, checkpoint, departure)

    async def created(self, order: Order) -> str:
        payload = await self.payload(order)
        done = await self.send(Kind.CREATE, payload)
        await self.send(Kind.CREATE, payload, 1, done.checkpoint)
        return str(done.remote_id)

    async def update(self, order: Order, remote_id: str) -> Any:
        payload = UpdateOrder(
            reference("steps", order.key), RemoteId(remote_id), order, await self._lines(order)
        )
        return await self.send(Kind.UPDATE, payload)

    async def figures(self) -> dict[str, int]:
        page = await self.adapter.sweep_stock("")
        return {figure.sku: figure.value for figure in page.figures}

    def held(self, order: Order) -> list[Any]:
        """(state, total, lines) of each order with our reference."""
        domain = [["client_order_ref", "=", reference("steps", order.key)]]
        fields = ["state", "amount_total", "order_line"]
        _, found = self.ground.raw("sale.order", "search_read", domain=domain, fields=fields)
        return [[x["state"], f"{x['amount_total']:.2f}", len(x["order_line"])] for x in found]

    def raw(self, model: str, method: str, **arguments: Any) -> tuple[int, Any]:
        return self.ground.raw(model, method, **arguments)


def line(line_id: str, sku: str, quantity: int, total: str, tax: str = "0", **changes: Any) -> OrderLine:
    collector = changes.pop("collector", TaxCollector.SELLER)
    taxes = (Tax("VAT", Decimal(tax), changes.pop("rate", None), collector),) if Decimal(tax) else ()
    return replace(OrderLine(LineId(line_id), Sku(sku), quantity, Decimal(total), taxes=taxes), **changes)


def deliveries(stage: Stage, remote_id: str) -> Shown:
    domain = [["sale_id", "=", int(remote_id)]]
    _, found = stage.raw("stock.picking", "search_read", domain=domain, fields=["state"], order="id")
    states: list[str] = []
    for delivery in found:
        where = [["picking_id", "=", delivery["id"]], ["state", "!=", "cancel"]]
        _, moves = stage.raw("stock.move", "search_read", domain=where, fields=["product_uom_qty"])
        states.append(f"{delivery['state']} {sum(int(x['product_uom_qty']) for x in moves)}")
    return states


def told(answer: tuple[int, Any]) -> Shown:
    status, body = answer
    return [status, body.get("name") if isinstance(body, dict) else type(body).__name__]


async def said(doing: Awaitable[Any]) -> str:
    try:
        return type(await doing).__name__
    except MarketsyncError as error:
        return type(error).__name__
