"""What the WooCommerce adapter reads: every call of it, over answers of its own sandbox."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from adapters.woocommerce import ADAPTER, wire
from adapters.woocommerce.sandbox import WooSandbox
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
from marketsync.ports import CancelOrder, CreateOrder, OpenOrder, ResolvedLine, UpdateOrder
from tests.fuzz.mutations import MARKER
from tests.fuzz.rig import (
    START,
    Ask,
    Case,
    Clock,
    Recorder,
    Side,
    Vendor,
    names_of,
    probes,
    recorded,
    sends,
    stock,
    sweep,
)

SECRETS = {"consumer_key": "ck_demo", "consumer_secret": "cs_demo"}
SETTINGS = {"url": "https://shop.example", "consumer_key": "key", "consumer_secret": "secret"}
REF = Reference("ms-abc123-conn-order000000001")
LATER = 3600.0


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, settings, shipped in scenes():
        sandbox = await stage(shipped=shipped)
        cases += await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings={**SETTINGS, **settings}, after_seconds=LATER
        )
    return Vendor("woocommerce", ADAPTER, SECRETS, names_of(wire), tuple(cases))


async def stage(*, shipped: bool) -> WooSandbox:
    """Articles A and B, a parent with a child, one order of ours that was released, and one of the web."""
    sandbox = WooSandbox()
    shop = sandbox.shop
    shop.add_product("A", 10, START)
    shop.add_product("B", -5, START)
    parent = shop.add_product("P", 7, START, type="variable")
    shop.add_product("P-RED", 3, START, parent_id=parent.id, price="12.50")
    shop.add_product("P-BLUE", 3, START, parent_id=parent.id, manage_stock="parent")
    clock = Clock()
    side = Side(ADAPTER, SETTINGS, SECRETS, clock, Recorder(sandbox, clock))
    writer = side.adapter.writers[Kind.CREATE]
    done = await writer.send(create(), 0, "", side.departure())
    await clock.sleep(60.0)
    await writer.send(create(), 1, done.checkpoint, side.departure())
    held = shop.orders[int(done.remote_id)]
    assert held.id == HELD, held.id
    shop.web_sale("A", 1, clock.now())
    if shipped:
        shop.ship(held.id, clock.now(), tracking="T1")
        shop.ship(held.id, clock.now(), tracking="T2", fulfilled=False)
        shop.add_tracking(held.id, "TX")
        shop.set_status(held.id, "completed", clock.now())
        held.meta += shop.metas({"_tracking_number": "TM", "_tracking_provider": "UPS"})
    return sandbox


HELD = 16


def scenes() -> list[tuple[str, Ask, dict[str, Any], bool]]:
    checkpoint = f'{{"remote_id":"{HELD}"}}'
    update, cancel = (
        UpdateOrder(REF, RemoteId(str(HELD)), order(3), lines()),
        CancelOrder(REF, RemoteId(str(HELD)), OrderId("M-1")),
    )
    return [
        ("traits", lambda side: side.adapter.probe_traits(), {}, False),
        ("traits, tracking", lambda side: side.adapter.probe_traits(), {"shipments": "tracking"}, False),
        ("create", _whole_create, {}, False),
        ("create that is refused", sends(Kind.CREATE, _refused()), {}, False),
        ("create, a look", probes(Kind.CREATE, create()), {}, False),
        ("release", sends(Kind.CREATE, create(), step=1, checkpoint=checkpoint), {}, False),
        ("release, a look", probes(Kind.CREATE, create(), step=1, checkpoint=checkpoint), {}, False),
        ("update", sends(Kind.UPDATE, update), {}, False),
        ("update, a look", probes(Kind.UPDATE, update), {}, False),
        ("cancel", sends(Kind.CANCEL, cancel), {}, False),
        ("cancel of what left", sends(Kind.CANCEL, cancel), {}, True),
        ("cancel, a look", probes(Kind.CANCEL, cancel), {}, False),
        ("parcels", _parcels, {}, True),
        ("parcels without tracking", _parcels, {"wait_for_tracking": False}, True),
        ("parcels, tracking", _parcels, {"shipments": "tracking"}, True),
        ("parcels, status", _parcels, {"shipments": "status"}, True),
        ("articles", _articles, {}, False),
        ("stock by name", stock("A", "B", "P-RED"), {}, False),
        ("stock", sweep, {}, False),
    ]


def order(quantity: int = 2) -> Order:
    taxes = (Tax("VAT", Decimal("3.33")),)
    return Order(
        key=OrderKey(MerchantId("main"), ConnectionId("conn"), OrderId("M-1")),
        created_at=START,
        updated_at=START,
        currency="EUR",
        total=Decimal("25.90"),
        prices_include_tax=True,
        lines=(
            OrderLine(LineId("1"), Sku("A"), quantity, Decimal("20.00"), taxes=taxes),
            OrderLine(LineId("2"), Sku("P-RED"), 1, Decimal("5.90")),
        ),
        buyer=Party(MARKER, email="q.canary@buyer.example"),
        ship_to=Address("Quill", "Canary", MARKER, "Paris", "75001", "FR"),
        paid=True,
    )


def lines() -> tuple[ResolvedLine, ...]:
    return (
        ResolvedLine(LineId("1"), Sku("A"), RemoteId("11")),
        ResolvedLine(LineId("2"), Sku("P-RED"), RemoteId("13/14")),
    )


def create() -> CreateOrder:
    return CreateOrder(REF, order(), lines())


def _refused() -> CreateOrder:
    gone = (ResolvedLine(LineId("1"), Sku("A"), RemoteId("9999")), lines()[1])
    return CreateOrder(REF, order(), gone)


async def _whole_create(side: Side) -> object:
    """Create and release in one breath: the second step may use the answer of the first."""
    writer = side.adapter.writers[Kind.CREATE]
    done = await writer.send(create(), 0, "", side.departure())
    side.settled()
    return done, await writer.send(create(), 1, done.checkpoint, side.departure())


async def _parcels(side: Side) -> object:
    return await side.adapter.fetch_shipments([OpenOrder(REF, RemoteId(str(HELD)), order())])


async def _articles(side: Side) -> object:
    found = await side.adapter.resolve_skus([Sku("A"), Sku("P-RED"), Sku("NOPE")])
    return tuple(found.items())
