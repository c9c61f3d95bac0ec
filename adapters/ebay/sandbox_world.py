"""What happens on a simulated eBay account: buyers, payments, packages, listings. Pure: time is an argument."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec.structs import replace

from marketsync.sandbox.books import Books, Habits

SCOPE = "https://api.ebay.com/oauth/api_scope"
SCOPES = (SCOPE, f"{SCOPE}/sell.fulfillment", f"{SCOPE}/sell.inventory")
# eBay's day begins at midnight Pacific time; the hour of summer is left out here.
PACIFIC = timedelta(hours=-8)


class Behaviour(Habits, frozen=True, kw_only=True):
    """How this account is set up, and what is wrong with it just now.

    A look at one order shows at once what the lists show after their lag. `pay_seconds`: from the
    commitment to buy to the payment. `tax`: who collects it, "remit" is eBay itself. `rotates`: each renewal of a token
    brings a new refresh token, and the old one ends with the new one's first use. `auctions` are units that only an
    auction may sell, by SKU. `skus_per_call`: how many a bulk update takes. `cancel_seconds`: from a seller's cancel that was taken to the order's end; `needs_signature`: a seller of the EU or the UK.
    `carriers`: the only ones it knows, any where there are none. `html_page` and `malformed_page` spoil the list.
    """

    client_id: str = "Sandbox-App-0001"
    client_secret: str = "sandbox-cert"  # noqa: S105 - invented
    refresh_token: str = "v^1.1#sandbox-refresh"  # noqa: S105 - invented
    token_seconds: int = 7200
    rotates: bool = False
    scopes: tuple[str, ...] = SCOPES
    throttles: bool = True
    daily: tuple[tuple[str, int], ...] = (
        ("fulfillment", 100_000),
        ("inventory", 2_000_000),
        ("notification", 10_000),
        ("post_order", 10_000),
    )
    revisions_a_day: int = 250
    skus_per_call: int = 25
    carriers: tuple[str, ...] = ()
    pay_seconds: float = 20.0
    tax: Literal["remit", "seller", "none"] = "remit"
    tax_percent: Decimal = Decimal(20)
    currency: str = "GBP"
    shipping: Decimal = Decimal("3.90")
    discount: Decimal = Decimal(0)
    auctions: Mapping[str, int] = {}
    relists_on_cancel: bool = False
    cancel_seconds: float = 0.0
    needs_signature: bool = False
    html_page: bool = False
    malformed_page: bool = False


class SoldLine(msgspec.Struct, frozen=True):
    line_id: str
    sku: str
    quantity: int
    unit_price: Decimal
    shipped: int = 0

    @property
    def status(self) -> str:
        if self.shipped >= self.quantity:
            return "FULFILLED"
        return "IN_PROGRESS" if self.shipped else "NOT_STARTED"


class CancelRequest(msgspec.Struct, frozen=True):
    request_id: str
    by: str
    state: str
    asked_at: datetime
    done_at: datetime | None = None


class SoldOrder(msgspec.Struct, frozen=True):
    """`payment` and `cancel_state` are the vendor's words. `global_shipping`: the parcel goes to a hub of eBay's. `by_ebay`: eBay
    ships it."""

    order_id: str
    number: int
    created: datetime
    updated: datetime
    lines: tuple[SoldLine, ...]
    payment: str = "PENDING"
    pay_due: datetime | None = None
    paid_at: datetime | None = None
    cancel_state: str = "NONE_REQUESTED"
    cancel_requests: tuple[CancelRequest, ...] = ()
    refunded_at: datetime | None = None
    global_shipping: bool = False
    by_ebay: bool = False

    @property
    def fulfilment(self) -> str:
        first = self.lines[0].status
        return first if all(line.status == first for line in self.lines) else "IN_PROGRESS"

    def line(self, line_id: str) -> SoldLine | None:
        return next((line for line in self.lines if line.line_id == line_id), None)


class Package(msgspec.Struct, frozen=True):
    fulfillment_id: str
    order_id: str
    at: datetime
    shipped_at: datetime
    lines: tuple[tuple[str, int], ...]
    tracking: str = ""
    carrier: str = ""


class StockChange(msgspec.Struct, frozen=True):
    """One bulk update that was taken, with what of it took effect."""

    at: datetime
    quantities: Mapping[str, int]


class World(Books[Behaviour, SoldOrder]):
    def __init__(
        self, listings: Mapping[str, int], behaviour: Behaviour, prices: Mapping[str, Decimal]
    ) -> None:
        super().__init__(behaviour)
        self.listings = dict(listings)
        self.prices = dict(prices)
        self.packages: list[Package] = []
        self.changes: list[StockChange] = []
        self.revisions: dict[tuple[str, str], int] = {}
        self.public_keys: dict[str, str] = {}
        self.cancelling: dict[str, tuple[datetime, str]] = {}
        self._due: dict[str, None] = {}

    def day(self, at: datetime) -> str:
        return (at + PACIFIC).date().isoformat()

    def place(
        self, at: datetime, lines: Sequence[tuple[str, int]], *, by_ebay: bool = False
    ) -> SoldOrder | None:
        """A buyer commits to buy; None if the listing has not that many. The listing is lowered at once."""
        if any(self.listings.get(sku, 0) < quantity for sku, quantity in lines):
            return None
        number = len(self.orders) + 1
        order_id = f"{number % 26 + 1:02d}-{10_000 + number:05d}-{number * 7919 % 100_000:05d}"
        for sku, quantity in lines:
            self.listings[sku] -= quantity
        first = 10_000_000_000 + number * 100
        sold = tuple(
            SoldLine(str(first + i), sku, quantity, self.prices.get(sku, Decimal("19.90")))
            for i, (sku, quantity) in enumerate(lines, 1)
        )
        due = at + timedelta(seconds=self.behaviour.pay_seconds)
        order = SoldOrder(order_id, number, _stamp(at), _stamp(at), sold, pay_due=due, by_ebay=by_ebay)
        self.record(at, "placed", order_id, ",".join(f"{sku}:{quantity}" for sku, quantity in lines))
        self.put(order, at)
        self.advance(at)
        return self.orders[order_id]

    def put(self, order: SoldOrder, at: datetime, *, stamp: datetime | None = None) -> SoldOrder:
        order = replace(order, updated=_stamp(stamp or at))
        self.orders[order.order_id] = order
        self._due.pop(order.order_id, None)
        if order.pay_due is not None:
            self._due[order.order_id] = None
        self.show(order.order_id, order, at)
        return order

    def visible(self, at: datetime) -> list[SoldOrder]:
        """Each order's newest version that the lists show, in an order of which eBay promises nothing."""
        minute = at.strftime("%H:%M")
        return sorted(self.listed.all(at), key=lambda order: _shuffled(order.order_id, minute))

    def packages_of(self, order_id: str, at: datetime) -> list[Package]:
        lag = timedelta(seconds=self.behaviour.visibility_lag_seconds)
        return [x for x in self.packages if x.order_id == order_id and x.at + lag <= at]

    def advance(self, at: datetime) -> None:
        for order_id in list(self._due):
            order = self.orders[order_id]
            if order.pay_due is not None and order.pay_due <= at:
                self.record(order.pay_due, "paid", order_id)
                due = order.pay_due
                self.put(replace(order, payment="PAID", pay_due=None, paid_at=_stamp(due)), due)
        for order_id in [x for x, (due, _) in self.cancelling.items() if due <= at]:
            due, by = self.cancelling.pop(order_id)
            self.cancel(self.orders[order_id], due, by)

    def add_package(self, package: Package, order: SoldOrder) -> None:
        """Takes the units; the order is fulfilled with the package that takes the last of them."""
        self.packages.append(package)
        self.record(package.at, "package", order.order_id, package.tracking)
        taken = dict(package.lines)
        lines = tuple(replace(x, shipped=x.shipped + taken.get(x.line_id, 0)) for x in order.lines)
        self.put(replace(order, lines=lines), package.at)

    def cancel(self, order: SoldOrder, at: datetime, by: str) -> bool:
        """The order ends, and the money goes back. Not any more once something of it has left."""
        if order.cancel_state == "CANCELED" or any(line.shipped for line in order.lines):
            return False
        self.cancelling.pop(order.order_id, None)
        open_ones = tuple(x for x in order.cancel_requests if x.state == "REQUESTED")
        asked = open_ones or (CancelRequest(f"c{len(self.log) + 1}", by, "REQUESTED", _stamp(at)),)
        closed = tuple(x for x in order.cancel_requests if x.state != "REQUESTED")
        done = tuple(replace(x, state="COMPLETED", done_at=_stamp(at)) for x in asked)
        if self.behaviour.relists_on_cancel:
            for line in order.lines:
                self.listings[line.sku] = self.listings.get(line.sku, 0) + line.quantity
        self.record(at, "cancelled", order.order_id, by)
        paid = order.paid_at is not None
        ended = replace(
            order, cancel_state="CANCELED", cancel_requests=(*closed, *done), pay_due=None,
            payment="FULLY_REFUNDED" if paid else "FAILED", refunded_at=_stamp(at) if paid else None,
        )  # fmt: skip
        self.put(ended, at)
        return True

    def set_stock(self, at: datetime, quantities: Mapping[str, int]) -> None:
        """Absolute: what was sold since the sender looked is listed again."""
        self.changes.append(StockChange(at, dict(quantities)))
        for sku, quantity in quantities.items():
            self.listings[sku] = quantity
            self.record(at, "stock", sku, str(quantity))


def _stamp(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _shuffled(order_id: str, minute: str) -> bytes:
    return hashlib.sha256(f"{order_id}{minute}".encode()).digest()
