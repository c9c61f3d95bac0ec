"""What the Shopify adapter reads: every call of it, over answers of its own sandbox."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from adapters.shopify import ADAPTER, wire, wire_stock
from adapters.shopify.sandbox import ShopifySandbox
from adapters.shopify.sandbox_shop import LOCATIONS
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import LineId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import Order
from marketsync.ports import (
    AdjustStock,
    CancelOrder,
    CreateOrder,
    OpenOrder,
    ResolvedLine,
    UpdateOrder,
)
from tests.fuzz.rest import REF, order
from tests.fuzz.rig import (
    Ask,
    Case,
    Clock,
    Recorder,
    Side,
    Vendor,
    names_of,
    polled,
    probes,
    recorded,
    sends,
    stock,
    sweep,
)

SECRETS = {"access_token": "shpua_demo"}
SETTINGS = {"url": "https://shop.example", "access_token": "token"}
BYPASS = {"inventory": "bypass", "location": str(LOCATIONS[0])}
LATER = 3600.0
A, B = RemoteId("101"), RemoteId("103")
LINES_OF_A_CROWD = 60
# Half of a small answer is its cost: it is spoilt now and then, and no more.
PACE = frozenset(
    (
        "extensions",
        "cost",
        "throttleStatus",
        "requestedQueryCost",
        "maximumAvailable",
        "currentlyAvailable",
        "restoreRate",
    )
)


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, settings, held in scenes():
        sandbox = await stage(held)
        cases += await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings={**SETTINGS, **settings}, after_seconds=LATER
        )
    known = names_of(wire, wire_stock) - PACE
    return Vendor("shopify", ADAPTER, SECRETS, known, tuple(cases))


HELD = {"open": RemoteId("113"), "shipped": RemoteId("113"), "crowd": RemoteId("171")}


async def stage(held: str) -> ShopifySandbox:
    """Articles A and B, one that is not counted and two of one SKU. The order is there unless `held` is ""; of a "shipped"
    one and of a "crowd" of lines a parcel left, and their buyers sent something back."""
    sandbox = ShopifySandbox(cancel_seconds=0.0, bulk_seconds=0.0)
    shop = sandbox.shop
    shop.add_variant("A", 10)
    shop.add_variant("B", -5)
    shop.add_variant("C", 3, tracked=False)
    for _ in range(2):
        shop.add_variant("TWIN", 1)
    if not held:
        return sandbox
    clock = Clock()
    side = Side(ADAPTER, SETTINGS, SECRETS, clock, Recorder(sandbox, clock))
    done = await side.adapter.writers[Kind.CREATE].send(create(held), 0, "", side.departure())
    assert done.remote_id == HELD[held], done
    if held != "open":
        of = shop.orders[int(done.remote_id)]
        first = of.lines[0].id
        shop.ship(of.id, clock.now(), {first: 1}, tracking="")
        parcel = shop.ship(of.id, clock.now(), {first: 1}, tracking="T1")
        shop.ship(of.id, clock.now(), tracking="T2")
        shop.take_back(parcel, clock.now())
        shop.refund(of.id, {first: 1}, "10.00", clock.now())
        shop.open_return(of.id, 1, clock.now())
    return sandbox


def scenes() -> list[tuple[str, Ask, dict[str, Any], str]]:
    update = UpdateOrder(REF, HELD["open"], order(3), lines())
    cancel = CancelOrder(REF, HELD["open"], OrderId("M-1"))
    gone = replace(create(), lines=(ResolvedLine(LineId("1"), Sku("A"), RemoteId("999")), lines()[1]))
    foreign = replace(create(), ref=Reference("ms-other1-conn-order000000001"))
    adjust = AdjustStock("key-1", A, Sku("A"), -1)
    return [
        ("traits", lambda side: side.adapter.probe_traits(), {}, ""),
        ("create", sends(Kind.CREATE, create()), {}, ""),
        ("create that is refused", sends(Kind.CREATE, gone), {}, ""),
        ("create once more", sends(Kind.CREATE, create(), attempt=2), {}, "open"),
        ("create, a look", probes(Kind.CREATE, create()), {}, "open"),
        ("create, a look at nothing", probes(Kind.CREATE, create()), {}, ""),
        ("create, a look at another installation's", probes(Kind.CREATE, foreign), {}, "open"),
        ("update", _update, {}, "open"),
        ("update of what left", sends(Kind.UPDATE, update), {}, "shipped"),
        ("update, a look", probes(Kind.UPDATE, update), {}, "open"),
        ("cancel", polled(Kind.CANCEL, cancel), {}, "open"),
        ("cancel of what left", sends(Kind.CANCEL, cancel), {}, "shipped"),
        ("cancel, a look", probes(Kind.CANCEL, cancel), {}, "open"),
        ("parcels", _parcels("shipped"), {}, "shipped"),
        ("parcels of many lines", _parcels("crowd"), {"wait_for_tracking": False}, "crowd"),
        ("aftersales", _aftersales, {}, "shipped"),
        ("articles", _articles, {}, ""),
        ("stock by name", stock("A", "B"), {}, ""),
        ("stock", sweep, {}, ""),
        ("adjustment", sends(Kind.ADJUST, adjust), BYPASS, ""),
    ]  # fmt: skip


def of(held: str) -> Order:
    if held != "crowd":
        return order()
    line = order().lines[0]
    many = tuple(replace(line, line_id=LineId(str(n))) for n in range(1, LINES_OF_A_CROWD + 1))
    return replace(order(), lines=many, total=line.line_total * LINES_OF_A_CROWD)


def lines() -> tuple[ResolvedLine, ...]:
    return (ResolvedLine(LineId("1"), Sku("A"), A), ResolvedLine(LineId("2"), Sku("B"), B))


def create(held: str = "") -> CreateOrder:
    if held != "crowd":
        return CreateOrder(REF, order(), lines())
    return CreateOrder(
        REF, of(held), tuple(ResolvedLine(line.line_id, line.sku, A) for line in of(held).lines)
    )


async def _update(side: Side) -> object:
    """Quantities and mark in one breath: the second step may use the answer of the first."""
    writer = side.adapter.writers[Kind.UPDATE]
    payload = UpdateOrder(REF, HELD["open"], order(3), lines())
    first = await writer.send(payload, 0, "", side.departure())
    side.settled()
    return first, await writer.send(payload, 1, "", side.departure())


def _parcels(held: str) -> Ask:
    async def ask(side: Side) -> object:
        return await side.adapter.fetch_shipments([OpenOrder(REF, HELD[held], of(held))])

    return ask


async def _aftersales(side: Side) -> object:
    return await side.adapter.fetch_aftersales([OpenOrder(REF, HELD["shipped"], order())])


async def _articles(side: Side) -> object:
    return tuple((await side.adapter.resolve_skus([Sku("A"), Sku("C"), Sku("TWIN"), Sku("NOPE")])).items())
