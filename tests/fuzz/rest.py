"""What the adapter of our own contract reads, in both of its roles: every call, over answers of its own sandboxes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from msgspec.structs import replace

from adapters.rest import ADAPTER, SHOP, wire
from adapters.rest.marketplace.adapter import PAGES
from adapters.rest.marketplace.mapping import Rules, parse_order
from adapters.rest.marketplace.sandbox import RestMarketSandbox
from adapters.rest.marketplace.sandbox_world import Behaviour
from adapters.rest.shop.content import new_order
from adapters.rest.shop.sandbox import RestShopSandbox
from adapters.rest.shop.sandbox_shop import Shop
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
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
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.ports import (
    AcceptLine,
    AcceptOrder,
    CancelOrder,
    ConfirmShipment,
    CreateOrder,
    OpenOrder,
    PublishStock,
    ResolvedLine,
    StockItem,
    UpdateOrder,
)
from tests.fuzz.mutations import MARKER
from tests.fuzz.rig import (
    START,
    Ask,
    Case,
    Side,
    Vendor,
    names_of,
    polled,
    probes,
    read,
    recorded,
    sends,
    stock,
    sweep,
)

SECRETS = {"token": "sandbox-token"}
SETTINGS = {"url": "https://far.example", "token": "key"}
LATER = 3600.0
FIRST, SECOND, THIRD = (OrderId(f"RM-0000{number}") for number in (1, 2, 3))
REF = Reference("ms-abc123-conn-order000000001")
STOCK = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("UNKNOWN"), 2)))


async def marketplace() -> Vendor:
    cases: list[Case] = []
    for name, ask, behaviour, listed in market_scenes():
        sandbox = RestMarketSandbox({"TEA-1": 50, "MUG-2": 50}, behaviour)
        sell(sandbox)
        cases += await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings=SETTINGS, after_seconds=LATER, listed=listed,
            stored=name == "page into the store",
        )  # fmt: skip
    rules = Rules(MerchantId("main"), ConnectionId("far"))
    return Vendor(
        "rest", ADAPTER, SECRETS, names_of(wire), tuple(cases), split=lambda body: PAGES.split(body)[0],
        parse=lambda raw: parse_order(raw, rules),
    )  # fmt: skip


def sell(sandbox: RestMarketSandbox) -> None:
    """Three orders: one that waits for our answer, one to ship with a unit cancelled, one shipped and refunded."""
    world = sandbox.world
    for number in range(3):
        sandbox.place_order(START + timedelta(seconds=60 * number), (("TEA-1", 2), ("MUG-2", 1)))
    at = START + timedelta(seconds=600)
    for order_id in (SECOND, THIRD):
        world.decide(world.orders[order_id], [line.line_id for line in world.orders[order_id].lines], at)
    at += timedelta(seconds=120)
    world.advance(at)
    world.edit(world.orders[SECOND], f"{SECOND}-1", at, cancelled=1)
    lines = tuple(wire.ShippedLine(f"{THIRD}-{n}", units) for n, units in ((1, 2), (2, 1)))
    world.tell(world.orders[THIRD], "p0", wire.Parcel("DHL", "T-0", "", None, lines), at)
    world.edit(world.orders[THIRD], f"{THIRD}-1", at, refunded=1)


def market_scenes() -> list[tuple[str, Ask, Behaviour, str | None]]:
    plain = Behaviour(calls_per_minute=0)
    choosy = replace(plain, carriers=("UPS",), by_line=False)
    return [
        ("page", _page, plain, "orders"),
        ("page of another platform", _page, replace(plain, bad_totals=True), None),
        ("page into the store", _page, plain, "orders"),
        ("orders by id", _by_ids, plain, None),
        ("traits", lambda side: side.adapter.probe_traits(), plain, None),
        ("accept", sends(Kind.ACCEPT, accept(FIRST)), plain, None),
        ("accept again", sends(Kind.ACCEPT, accept(SECOND)), plain, None),
        ("accept otherwise", sends(Kind.ACCEPT, accept(SECOND, yes=False)), plain, None),
        ("accept, a look", probes(Kind.ACCEPT, accept(FIRST)), plain, None),
        ("parcel", sends(Kind.CONFIRM, parcel(SECOND)), plain, None),
        ("parcel that is refused", sends(Kind.CONFIRM, parcel(FIRST)), plain, None),
        ("parcel of another carrier", sends(Kind.CONFIRM, parcel(SECOND)), choosy, None),
        ("parcel, a look", probes(Kind.CONFIRM, parcel(THIRD)), plain, None),
        ("stock", polled(Kind.STOCK, STOCK), plain, None),
    ]


def accept(order_id: OrderId, *, yes: bool = True) -> AcceptOrder:
    return AcceptOrder(order_id, tuple(AcceptLine(LineId(f"{order_id}-{n}"), yes) for n in (1, 2)))


def parcel(order_id: OrderId) -> ConfirmShipment:
    shipment = Shipment(
        REF, RemoteId("p1"), (ShippedLine(LineId(f"{order_id}-1"), 1), ShippedLine(LineId(f"{order_id}-2"), 1)),
        carrier="dhl", tracking_number="T-1", tracking_url="https://track.example/T-1",
    )  # fmt: skip
    return ConfirmShipment(order_id, shipment, "DHL", completes_order=True)


async def _page(side: Side) -> object:
    window = Window(Axis.UPDATED, START - timedelta(hours=1), side.clock.now())
    return read(side.adapter, (await side.adapter.fetch_orders(window, 0)).orders)


async def _by_ids(side: Side) -> object:
    return read(side.adapter, (await side.adapter.fetch_orders_by_ids([SECOND, THIRD])).orders)


# The shop


async def shop() -> Vendor:
    cases: list[Case] = []
    for name, ask, held in shop_scenes():
        cases += await recorded(
            SHOP, SECRETS, name, stock_up(held=held), ask, settings=SETTINGS, after_seconds=LATER
        )
    return Vendor("rest-shop", SHOP, SECRETS, names_of(wire), tuple(cases))


def stock_up(*, held: str) -> RestShopSandbox:
    """Articles A and B; the order is there unless `held` is "", and of a "shipped" one a parcel was sent."""
    sandbox = RestShopSandbox(calls_per_minute=0)
    shop: Shop = sandbox.shop
    shop.add_article("A", 10)
    shop.add_article("B", -5)
    shop.add_article("C", None)
    if held:
        shop.create(new_order(create()), START)
    if held == "shipped":
        shop.ship(REF, START, [("1", 1)], "T1", timedelta(0))
        shop.ship(REF, START, [("1", 1), ("2", 1)], "T2", timedelta(0))
    return sandbox


def shop_scenes() -> list[tuple[str, Ask, str]]:
    update = UpdateOrder(REF, RemoteId("S104"), order(3), lines())
    cancel = CancelOrder(REF, RemoteId("S104"), OrderId("M-1"))
    gone = replace(create(), lines=(ResolvedLine(LineId("1"), Sku("A"), RemoteId("A999")), lines()[1]))
    foreign = replace(create(), ref=Reference("ms-other1-conn-order000000001"))
    return [
        ("traits", lambda side: side.adapter.probe_traits(), ""),
        ("create", sends(Kind.CREATE, create()), ""),
        ("create that is refused", sends(Kind.CREATE, gone), ""),
        ("create of another installation's", sends(Kind.CREATE, foreign), "open"),
        ("create, a look", probes(Kind.CREATE, create()), "open"),
        ("create, a look at nothing", probes(Kind.CREATE, create()), ""),
        ("update", sends(Kind.UPDATE, update), "open"),
        ("update of what left", sends(Kind.UPDATE, update), "shipped"),
        ("update, a look", probes(Kind.UPDATE, update), "open"),
        ("cancel", sends(Kind.CANCEL, cancel), "open"),
        ("cancel of what left", sends(Kind.CANCEL, cancel), "shipped"),
        ("cancel, a look", probes(Kind.CANCEL, cancel), "open"),
        ("parcels", _parcels, "shipped"),
        ("articles", _articles, ""),
        ("stock by name", stock("A", "B"), ""),
        ("stock", sweep, ""),
    ]


def order(quantity: int = 2) -> Order:
    return Order(
        key=OrderKey(MerchantId("main"), ConnectionId("conn"), OrderId("M-1")), created_at=START, updated_at=START,
        currency="EUR", total=Decimal("25.90"), prices_include_tax=True, paid=True,
        lines=(
            OrderLine(LineId("1"), Sku("A"), quantity, Decimal("20.00"), taxes=(Tax("VAT", Decimal("3.33")),)),
            OrderLine(LineId("2"), Sku("B"), 1, Decimal("5.90")),
        ),
        buyer=Party(MARKER, email="q.canary@buyer.example"),
        ship_to=Address("Quill", "Canary", MARKER, "Paris", "75001", "FR"),
    )  # fmt: skip


def lines() -> tuple[ResolvedLine, ...]:
    return (
        ResolvedLine(LineId("1"), Sku("A"), RemoteId("A101")),
        ResolvedLine(LineId("2"), Sku("B"), RemoteId("A102")),
    )


def create() -> CreateOrder:
    return CreateOrder(REF, order(), lines())


async def _parcels(side: Side) -> object:
    wanted = [OpenOrder(REF, RemoteId("S104"), order())]
    first = await side.adapter.fetch_shipments(wanted)
    await side.clock.sleep(60.0)
    return first, await side.adapter.fetch_shipments(wanted)


async def _articles(side: Side) -> object:
    return tuple((await side.adapter.resolve_skus([Sku("A"), Sku("C"), Sku("NOPE")])).items())
