"""What the Amazon adapter reads: every call of it, over answers of its own sandbox."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from adapters.amazon import ADAPTER, wire
from adapters.amazon.api import PAGES
from adapters.amazon.mapping import Rules, parse_order
from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_world import Behaviour
from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import Party
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import MarketsyncError
from marketsync.ports import ConfirmShipment, PublishStock, StockItem
from tests.fuzz.mutations import MARKER
from tests.fuzz.rig import START, Ask, Case, Side, Vendor, names_of, polled, probes, read, recorded, sends

URL = "https://sellingpartnerapi-eu.example"
TOKEN = "/auth/o2/token"
STORE = "A1PA6795UKMFR9"
PLAIN = Behaviour(
    throttles=False,
    pending_seconds=(60.0, 60.0),
    stale_seconds=0.0,
    buyer=Party(MARKER, MARKER, MARKER, MARKER),
)
SECRETS = {"client_secret": PLAIN.client_secret, "refresh_token": PLAIN.refresh_token}
SETTINGS = {
    "client_id": PLAIN.client_id, "client_secret": "cred:s", "refresh_token": "cred:r", "seller_id": PLAIN.seller_id,
    "marketplace_ids": PLAIN.marketplace_ids, "url": URL, "token_url": f"{URL}{TOKEN}",
}  # fmt: skip
LATER = 3600.0
ONE = PublishStock((StockItem(Sku("TEA-1"), 7),))
MANY = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("UNKNOWN"), 2)))


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, listed in scenes():
        sandbox = stage()
        found = await recorded(
            ADAPTER, SECRETS, name, sandbox, ask, settings=SETTINGS, after_seconds=LATER, listed=listed,
            stored=name == "page into the store",
        )  # fmt: skip
        # A token is fetched in front of each of them, and a file is sent before it is looked for.
        cases += [
            case for case in found if name == "page" or (not case.name.endswith(TOKEN) and not _is_sent(case))
        ]
    rules = Rules(MerchantId("main"), ConnectionId(""))
    # A line whose units Amazon cancelled is of nothing; no shop is told of one.
    return Vendor(
        "amazon", ADAPTER, SECRETS, names_of(wire), tuple(cases), lambda body: PAGES.cut(body)[0],
        lambda raw: parse_order(raw, rules), units_min=0,
    )  # fmt: skip


def _is_sent(case: Case) -> bool:
    return "a look" in case.name and "GET" not in case.name


def stage() -> AmazonSandbox:
    """One to ship, one shipped, one cancelled, one whose buyer asks to cancel it, one that Amazon itself ships."""
    sandbox = AmazonSandbox({"TEA-1": 50, "MUG-2": 50}, PLAIN)
    orders = [
        sandbox.place_order(START + timedelta(seconds=60 * i), (("TEA-1", 2), ("MUG-2", 1))) for i in range(4)
    ]
    sandbox.place_order(START + timedelta(seconds=300), (("TEA-1", 1),), by_amazon=True)
    at = START + timedelta(seconds=600)
    sandbox.arrive(at)
    assert orders[2] is not None
    assert orders[3] is not None
    sandbox.cancel_order(at, orders[2])
    sandbox.ask_cancel(at, orders[3])
    return sandbox


def scenes() -> list[tuple[str, Ask, str | None]]:
    return [
        ("page", _page, "orders"),
        ("page into the store", _page, "orders"),
        ("orders by id", _by_ids, None),
        ("traits", lambda side: side.adapter.probe_traits(), None),
        ("confirm", sends(Kind.CONFIRM, parcel()), None),
        ("confirm again", _twice, None),
        ("confirm, a look", probes(Kind.CONFIRM, parcel()), None),
        ("patch", sends(Kind.STOCK, ONE), None),
        ("feed", polled(Kind.STOCK, MANY), None),
        ("cancel", polled(Kind.CANCEL_SALE, CancelSale(order(0), channel=STORE)), None),
        ("cancel, a look", _looked(Kind.CANCEL_SALE, CancelSale(order(0), channel=STORE)), None),
        ("refund", polled(Kind.REFUND, refund()), None),
        ("refund, a look", _looked(Kind.REFUND, refund()), None),
    ]


def order(number: int) -> OrderId:
    return OrderId(list(stage().world.orders)[number])


def line(number: int) -> LineId:
    return LineId(stage().world.orders[order(number)].lines[0].item_id)


def parcel() -> ConfirmShipment:
    shipped = Shipment(
        Reference("ms-abc-defg-hijklmnopqrstu"),
        RemoteId("p1"),
        (ShippedLine(line(0), 2),),
        tracking_number="T-1",
    )
    return ConfirmShipment(order(0), shipped, "DHL", completes_order=False, channel=STORE)


def refund() -> RefundSale:
    return RefundSale("key", order(1), "EUR", (RefundLine(line(1), Decimal(1)),), channel=STORE)


async def _page(side: Side) -> object:
    window = Window(Axis.UPDATED, START - timedelta(hours=1), side.clock.now() - timedelta(seconds=300))
    return read(side.adapter, (await side.adapter.fetch_orders(window, 0)).orders)


async def _by_ids(side: Side) -> object:
    return read(side.adapter, (await side.adapter.fetch_orders_by_ids([order(0), order(3)])).orders)


async def _twice(side: Side) -> object:
    """The second telling of one parcel: refused, and looked at."""
    await sends(Kind.CONFIRM, parcel())(side)
    side.settled()
    return await sends(Kind.CONFIRM, parcel(), attempt=2)(side)


def _looked(kind: Kind, payload: Any) -> Ask:
    async def ask(side: Side) -> object:
        try:
            await sends(kind, payload)(side)
        except MarketsyncError:
            side.settled()
        side.settled()
        return await probes(kind, payload)(side)

    return ask
