"""What the eBay adapter reads: every call of it, over answers of its own sandbox."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from msgspec.structs import replace

from adapters.ebay import ADAPTER, wire
from adapters.ebay.mapping import PAGES, Rules, parse_order
from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_world import Behaviour
from marketsync.domain.aftersales import CancelSale
from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, Reference, RemoteId, Sku
from marketsync.domain.orders import Party
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.errors import ConfigError
from marketsync.ports import ConfirmShipment, PublishStock, StockItem
from tests.fuzz.mutations import MARKER
from tests.fuzz.rig import START, Ask, Case, Side, Vendor, names_of, probes, read, recorded, sends

TOKEN = "/oauth2/token"
PLAIN = Behaviour(throttles=False, buyer=Party(MARKER, MARKER, MARKER, MARKER))
SECRETS = {"client_secret": PLAIN.client_secret, "refresh_token": PLAIN.refresh_token}
SETTINGS = {"client_id": PLAIN.client_id, "client_secret": "c", "refresh_token": "r"}
LATER = 3600.0
STOCK = PublishStock((StockItem(Sku("TEA-1"), 7), StockItem(Sku("UNKNOWN"), 2)))
HEADER = {"x-ebay-signature": "eyJraWQiOiJrZXktMSIsInNpZ25hdHVyZSI6IiJ9"}


async def vendor() -> Vendor:
    cases: list[Case] = []
    for name, ask, behaviour, listed in scenes():
        found = await recorded(
            ADAPTER, SECRETS, name, stage(behaviour), ask, settings=SETTINGS, after_seconds=LATER, listed=listed,
            stored=name == "page into the store",
        )  # fmt: skip
        # A token is fetched in front of each of them.
        cases += [case for case in found if name == "page" or not case.name.endswith(TOKEN)]
    rules = Rules(MerchantId("main"), ConnectionId(""))
    return Vendor(
        "ebay", ADAPTER, SECRETS, names_of(wire), tuple(cases), lambda body: PAGES.split(body)[0],
        lambda raw: parse_order(raw, rules),
    )  # fmt: skip


def stage(behaviour: Behaviour) -> EbaySandbox:
    """One to ship, one that goes by the Global Shipping Programme, one whose buyer asks to cancel it, one cancelled."""
    sandbox = EbaySandbox({"TEA-1": 50, "MUG-2": 50}, behaviour)
    sandbox.world.public_keys["key-1"] = "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----"
    placed = [
        sandbox.place_order(START + timedelta(seconds=60 * i), (("TEA-1", 2), ("MUG-2", 1))) for i in range(4)
    ]
    at = START + timedelta(seconds=600)
    hub, asked, gone = (order_id or "" for order_id in placed[1:])
    orders = sandbox.world.orders
    orders[hub] = replace(orders[hub], global_shipping=True)
    sandbox.touch(at, hub)
    sandbox.ask_to_cancel(at, asked)
    sandbox.cancel_order(at, gone)
    return sandbox


def scenes() -> list[tuple[str, Ask, Behaviour, str | None]]:
    seller, none = replace(PLAIN, tax="seller"), replace(PLAIN, tax="none")
    return [
        ("page", _page, PLAIN, "orders"),
        ("page of another tax", _page, seller, None),
        ("page into the store", _page, none, "orders"),
        ("order by id", _by_id, PLAIN, None),
        ("traits", lambda side: side.adapter.probe_traits(), PLAIN, None),
        ("confirm", sends(Kind.CONFIRM, parcel()), PLAIN, None),
        ("confirm again", _twice, PLAIN, None),
        ("confirm, a look", probes(Kind.CONFIRM, parcel()), PLAIN, None),
        ("stock", sends(Kind.STOCK, STOCK), PLAIN, None),
        ("cancel", sends(Kind.CANCEL_SALE, CancelSale(order(0), channel="EBAY_GB")), PLAIN, None),
        ("cancel as asked", sends(Kind.CANCEL_SALE, CancelSale(order(2), channel="EBAY_GB")), PLAIN, None),
        ("cancel, a look", probes(Kind.CANCEL_SALE, CancelSale(order(2), channel="EBAY_GB")), PLAIN, None),
        ("key", _key, PLAIN, None),
    ]


def order(number: int) -> OrderId:
    return OrderId(list(stage(PLAIN).world.orders)[number])


def parcel() -> ConfirmShipment:
    line = LineId(stage(PLAIN).world.orders[order(0)].lines[0].line_id)
    shipped = Shipment(
        Reference("ms-abc-defg-hijklmnopqrstu"), RemoteId("p1"), (ShippedLine(line, 2),), tracking_number="T-1",
        shipped_at=START,
    )  # fmt: skip
    return ConfirmShipment(order(0), shipped, "DHL", completes_order=False)


async def _page(side: Side) -> object:
    window = Window(Axis.UPDATED, START - timedelta(hours=1), side.clock.now() - timedelta(seconds=300))
    return read(side.adapter, (await side.adapter.fetch_orders(window, 0)).orders)


async def _by_id(side: Side) -> object:
    return read(side.adapter, (await side.adapter.fetch_orders_by_ids([order(2)])).orders)


async def _twice(side: Side) -> object:
    await sends(Kind.CONFIRM, parcel())(side)
    side.settled()
    return await sends(Kind.CONFIRM, parcel(), attempt=2)(side)


async def _key(side: Side) -> object:
    # Whether a signature can be checked at all hangs on an extra.
    with contextlib.suppress(ConfigError):
        return await side.adapter.verify_hint(HEADER, b"{}")
    return None
