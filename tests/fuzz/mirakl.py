"""What the Mirakl adapter reads: every call of it, over answers of its own sandbox."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from adapters.mirakl import ADAPTER, wire
from adapters.mirakl.mapping import Rules, parse_order
from adapters.mirakl.pages import PAGES
from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_world import Behaviour
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.ports import AcceptLine, AcceptOrder, ConfirmShipment, PublishStock, StockItem
from tests.fuzz.rig import START, Ask, Case, Side, Vendor, names_of, polled, probes, read, recorded, sends

SECRETS = {"api_key": "sandbox-key"}
SETTINGS = {"url": "https://operator.example", "api_key": "key", "accept_within_hours": 48.0}
STOCK = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("UNKNOWN"), 2)))
LATER = 3600.0


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, ready, listed in scenes():
        sandbox = MiraklSandbox({"TEA-1": 50, "MUG-2": 50}, ready)
        stage(sandbox)
        cases += await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings=SETTINGS, after_seconds=LATER, listed=listed,
            stored=name == "page into the store",
        )  # fmt: skip
    rules = Rules(MerchantId("main"), ConnectionId(""), accept_within=timedelta(hours=48))
    return Vendor(
        "mirakl", ADAPTER, SECRETS, names_of(wire), tuple(cases), lambda body: PAGES.split(body)[0],
        lambda raw: parse_order(raw, rules),
    )  # fmt: skip


def stage(sandbox: MiraklSandbox) -> None:
    """Four orders: one that waits for our answer, one to ship with a part cancelled, one shipped, one refunded."""
    world, orders = sandbox.world, []
    for number in range(4):
        order_id = sandbox.place_order(START + timedelta(seconds=60 * number), (("TEA-1", 2), ("MUG-2", 1)))
        assert order_id is not None
        orders.append(order_id)
    at = START + timedelta(seconds=600)
    for order_id in orders[1:]:
        world.decide(world.orders[order_id], [line.line_id for line in world.orders[order_id].lines], at)
    at += timedelta(seconds=120)
    world.advance(at)
    sandbox.cancel_units(at, orders[1], f"{orders[1]}-1", 1)
    for order_id in orders[2:]:
        world.ship(world.orders[order_id], at)
    sandbox.refund_units(at, orders[3], f"{orders[3]}-1", 1)


def scenes() -> list[tuple[str, Ask, Behaviour, str | None]]:
    plain, modules = Behaviour(), Behaviour(multi_shipment=True)
    bare = Behaviour(errors_have_codes=False)
    return [
        ("page", _page, plain, "orders"),
        ("page of another platform", _page, replace(plain, bad_totals=True), None),
        ("page into the store", _page, plain, "orders"),
        ("orders by id", _by_ids, plain, None),
        ("traits", lambda side: side.adapter.probe_traits(), plain, None),
        ("accept", sends(Kind.ACCEPT, accept(0)), plain, None),
        ("accept again", sends(Kind.ACCEPT, accept(1)), plain, None),
        ("accept again, bare errors", sends(Kind.ACCEPT, accept(1)), bare, None),
        ("accept, a look", probes(Kind.ACCEPT, accept(1)), plain, None),
        ("tracking", sends(Kind.CONFIRM, parcel(1)), plain, None),
        ("ship", sends(Kind.CONFIRM, parcel(1), step=1), plain, None),
        ("ship again", sends(Kind.CONFIRM, parcel(2), step=1), plain, None),
        ("ship, a look", probes(Kind.CONFIRM, parcel(2)), plain, None),
        ("shipment", _learnt(sends(Kind.CONFIRM, parcel(1))), modules, None),
        ("shipment again", _learnt(sends(Kind.CONFIRM, parcel(2), attempt=2)), modules, None),
        ("shipment, a look", _learnt(probes(Kind.CONFIRM, parcel(1))), modules, None),
        ("stock", polled(Kind.STOCK, STOCK), plain, None),
    ]


def accept(number: int) -> AcceptOrder:
    lines = tuple(AcceptLine(LineId(f"{order(number)}-{line}"), accepted=True) for line in (1, 2))
    return AcceptOrder(order(number), lines)


def parcel(number: int) -> ConfirmShipment:
    shipped = Shipment(
        ref=Reference("ms-abc-defg-hijklmnopqrstu"), shipment_id=RemoteId("p1"),
        lines=(ShippedLine(LineId(f"{order(number)}-1"), 1), ShippedLine(LineId(f"{order(number)}-2"), 1)),
        carrier="dhl", tracking_number="T-1", tracking_url="https://track.example/T-1",
    )  # fmt: skip
    return ConfirmShipment(order(number), shipped, "DHL", completes_order=True)


def order(number: int) -> OrderId:
    sandbox = MiraklSandbox({"TEA-1": 50, "MUG-2": 50})
    stage(sandbox)
    return OrderId(list(sandbox.world.orders)[number])


async def _page(side: Side) -> object:
    window = Window(Axis.UPDATED, START - timedelta(hours=1), side.clock.now())
    return read(side.adapter, (await side.adapter.fetch_orders(window, 0)).orders)


async def _by_ids(side: Side) -> object:
    page = await side.adapter.fetch_orders_by_ids([order(1), order(3)])
    return read(side.adapter, page.orders)


def _learnt(then: Ask) -> Ask:
    async def ask(side: Side) -> object:
        await side.adapter.probe_traits()
        return await then(side)

    return ask
