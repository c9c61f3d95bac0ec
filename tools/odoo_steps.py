"""One script of steps on an Odoo, real or simulated: what the adapter and its simulated server rest on, observed.

Both must show the same, step by step. What a step shows holds no id, no time and no text of Odoo's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol

import msgspec
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
from marketsync.ports import (
    BackOffice,
    CancelOrder,
    Clock,
    CreateOrder,
    Departure,
    OpenOrder,
    ResolvedLine,
    Transport,
    UpdateOrder,
)
from marketsync.sandbox.chance import Chance
from tools.odoo_grounds import send_parcel

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOME = Address("Ada", "Example", "1 Sample Street", "Paris", "75001", "FR")
VAT = Decimal(20)


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


# Errors


async def errors(stage: Stage) -> Shown:
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("res.nobody", "search_read", {"domain": [], "fields": ["id"]}),
        ("res.partner", "nothing", {"ids": [1]}),
        ("res.partner", "_write", {"ids": [1], "vals": {}}),
        ("res.partner", "search_read", {"domain": [["nothing", "=", 1]], "fields": ["id"]}),
        ("res.partner", "search_read", {"domain": [], "fields": ["nothing"]}),
        ("res.partner", "write", {"ids": [999_999], "vals": {"name": "x"}}),
        ("res.partner", "create", {"vals_list": [{"name": "x", "nothing": "x"}]}),
        ("res.partner", "create", {"vals_list": [{"name": False}]}),
        ("sale.order", "action_confirm", {"ids": [999_999]}),
    )
    return [_told(stage.raw(model, method, **arguments)) for model, method, arguments in calls]


async def wrong_key(stage: Stage) -> Shown:
    ground = stage.ground
    own, ground.key = ground.key, "another"
    try:
        other = Stage(ground, stage.name)
        return [await _said(other.adapter.sweep_stock("")) for _ in range(2)]
    finally:
        ground.key = own


async def traits(stage: Stage) -> Shown:
    found = await stage.adapter.probe_traits()
    return [dict(found.facts), list(found.problems)]


# Orders


async def quotation(stage: Stage) -> Shown:
    """Without effect, then compared and confirmed; again without effect."""
    order = stage.order("q")
    payload = await stage.payload(order)
    shown: list[Any] = [await stage.figures()]
    done = await stage.send(Kind.CREATE, payload)
    shown += [stage.held(order), await stage.figures()]
    for _ in range(2):
        await stage.send(Kind.CREATE, payload, 1, done.checkpoint)
        shown += [stage.held(order), await stage.figures()]
    shown.append(_told(stage.raw("sale.order", "action_confirm", ids=[int(done.remote_id)])))
    return shown


async def twice(stage: Stage) -> Shown:
    """The same write again, as a path that duplicates would bring it."""
    order = stage.order("t")
    payload = await stage.payload(order)
    for _ in range(2):
        await stage.send(Kind.CREATE, payload)
    return stage.held(order)


async def at_once(stage: Stage) -> Shown:
    """The same write several times at one moment: however many of them are told to come again, one order is there."""
    order = stage.order("p")
    payload = await stage.payload(order)
    said = await asyncio.gather(*(_said(stage.send(Kind.CREATE, payload)) for _ in range(6)))
    return ["StepDone" in said, sorted(set(said) - {"StepDone", "Retry"}), stage.held(order)]


async def gone_article(stage: Stage) -> Shown:
    order = stage.order("g")
    payload = await stage.payload(order)
    last = replace(payload.lines[-1], remote_id=RemoteId("999999"))
    broken = replace(payload, lines=(*payload.lines[:-1], last))
    return [await _said(stage.send(Kind.CREATE, broken)), stage.held(order)]


async def default_tax(stage: Stage) -> Shown:
    """What comes of a line that says nothing of taxes."""
    article = (await stage.adapter.resolve_skus([Sku("MUG")]))[Sku("MUG")].remote_id
    values = {"product_id": int(article), "product_uom_qty": 1, "price_unit": 12.5}
    order = stage.order("d")
    ref = reference("steps", order.key)
    stage.raw("res.partner", "create", vals_list=[
        {"name": "x", "sale_order_ids": [[0, 0, {"client_order_ref": ref, "order_line": [[0, 0, values]]}]]}
    ])  # fmt: skip
    return stage.held(order)


async def totals(stage: Stage) -> Shown:
    return [stage.held(order) for order in [x for x in _priced(stage) if await stage.created(x)]]


async def included(stage: Stage) -> Shown:
    return await _with_taxes(stage, stage.ground.included)


async def on_top(stage: Stage) -> Shown:
    return await _with_taxes(stage, stage.ground.on_top)


async def changed(stage: Stage) -> Shown:
    order = stage.order("u")
    remote_id = await stage.created(order)
    shown: list[Any] = [await stage.figures()]
    tee = line("2", "TEE", 1, "5.90", "0.98")
    for changes in (
        (line("1", "MUG", 5, "50.00", "8.33"), tee),
        (line("1", "MUG", 1, "10.00", "1.67"), tee),
        (line("1", "MUG", 1, "10.00", "1.67", cancelled=1), tee),
        (line("1", "MUG", 2, "20.00", "3.33"), tee, line("3", "TEE", 2, "9.00", "1.50")),
    ):
        done = await stage.update(stage.order("u", *changes), remote_id)
        shown += [done.conflict, stage.held(order), await stage.figures(), _deliveries(stage, remote_id)]
    return shown


async def cancelled(stage: Stage) -> Shown:
    shown = []
    for number, confirmed in (("c1", False), ("c2", True)):
        order = stage.order(number)
        payload = await stage.payload(order)
        done = await stage.send(Kind.CREATE, payload)
        if confirmed:
            await stage.send(Kind.CREATE, payload, 1, done.checkpoint)
        for _ in range(2):
            cancel = CancelOrder(payload.ref, RemoteId(done.remote_id), order.key.order_id)
            await stage.send(Kind.CANCEL, cancel)
            shown += [stage.held(order), await stage.figures()]
    return shown


async def shipped(stage: Stage) -> Shown:
    """One unit first, without its number; then the number; then the rest."""
    order = stage.order("s")
    remote_id = await stage.created(order)
    opened = [OpenOrder(reference("steps", order.key), RemoteId(remote_id), order)]
    shown: list[Any] = [await stage.figures()]
    first = send_parcel(stage.ground, remote_id, {"MUG": 1}, "")
    shown += [await _parcels(stage, opened), await stage.figures(), _deliveries(stage, remote_id)]
    stage.raw("stock.picking", "write", ids=[first], vals={"carrier_tracking_ref": "LATE1"})
    shown.append(await _parcels(stage, opened))
    send_parcel(stage.ground, remote_id, {"MUG": 1, "TEE": 1}, "T2")
    shown += [await _parcels(stage, opened), await stage.figures(), _deliveries(stage, remote_id)]
    cancel = CancelOrder(opened[0].ref, RemoteId(remote_id), order.key.order_id)
    shown += [await _said(stage.send(Kind.CANCEL, cancel)), await _said(stage.update(order, remote_id))]
    return shown


async def oversold(stage: Stage) -> Shown:
    order = stage.order("o", line("1", "TEE", 500, "500.00"))
    remote_id = await stage.created(order)
    shown = [await stage.figures()]
    await stage.send(
        Kind.CANCEL, CancelOrder(reference("steps", order.key), RemoteId(remote_id), order.key.order_id)
    )
    return [*shown, await stage.figures()]


STEPS: tuple[Callable[[Stage], Awaitable[Shown]], ...] = (
    errors, wrong_key, traits, quotation, twice, at_once, gone_article, default_tax, totals, included, on_top, changed,
    cancelled, shipped, oversold,
)  # fmt: skip
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "json2": {},
    "rpc": {"protocol": "json-rpc", "create_by": "create"},
}
AGAIN = (wrong_key, quotation, changed, cancelled)  # by the older protocol as well, and by `create`


async def observed(ground: Ground, tell: Callable[[str], None] = lambda _: None) -> dict[str, Shown]:
    """What each step shows, by its name."""
    shown: dict[str, Shown] = {}
    for variant, settings in VARIANTS.items():
        for step in STEPS if variant == "json2" else AGAIN:
            name = f"{variant}.{step.__name__}"
            tell(name)
            stage = Stage(ground, name, **settings)
            shown[name] = msgspec.to_builtins(await step(stage))
    return shown


def _priced(stage: Stage) -> list[Order]:
    mine = line("1", "MUG", 1, "10.00", "2.00", shipping=Decimal("3.50"))
    theirs = line("2", "TEE", 1, "7.00", "0.70", collector=TaxCollector.MARKETPLACE)
    return [
        stage.order("m1"),
        stage.order(
            "m2", mine, theirs, prices_include_tax=False, fees=Decimal("0.65"), shipping_method="Express"
        ),
        stage.order("m3", line("1", "MUG", 3, "10.00", "1.67")),
    ]


async def _with_taxes(stage: Stage, record: int) -> Shown:
    """Amounts that round one way line by line and another way in all."""
    taxed = Stage(stage.ground, stage.name, taxes={"20": record})
    orders = [
        taxed.order("x1", line("1", "MUG", 2, "20.00", "3.33", rate=VAT)),
        taxed.order("x2", *(line(str(n), "MUG", 1, "9.99", "1.67", rate=VAT) for n in range(1, 6))),
        taxed.order("x3", line("1", "MUG", 3, "10.00", "1.67")),
        taxed.order("x4", line("1", "MUG", 1, "8.33", "1.67", rate=VAT), prices_include_tax=False),
    ]
    shown: list[Any] = []
    for order in orders:
        said = await _said(taxed.created(order))
        shown.append([said, taxed.held(order)])
    return shown


async def _parcels(stage: Stage, opened: Sequence[OpenOrder]) -> Shown:
    found = await stage.adapter.fetch_shipments(opened)
    return [[x.tracking_number, [[y.line_id, y.quantity] for y in x.lines]] for x in found]


def _deliveries(stage: Stage, remote_id: str) -> Shown:
    domain = [["sale_id", "=", int(remote_id)]]
    _, found = stage.raw("stock.picking", "search_read", domain=domain, fields=["state"], order="id")
    states: list[str] = []
    for delivery in found:
        where = [["picking_id", "=", delivery["id"]], ["state", "!=", "cancel"]]
        _, moves = stage.raw("stock.move", "search_read", domain=where, fields=["product_uom_qty"])
        states.append(f"{delivery['state']} {sum(int(x['product_uom_qty']) for x in moves)}")
    return states


def _told(answer: tuple[int, Any]) -> Shown:
    status, body = answer
    return [status, body.get("name") if isinstance(body, dict) else type(body).__name__]


async def _said(doing: Awaitable[Any]) -> str:
    try:
        return type(await doing).__name__
    except MarketsyncError as error:
        return type(error).__name__
