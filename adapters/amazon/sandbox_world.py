"""What happens at a simulated Amazon: buyers, payments, packages, listings, feeds. Pure: time is an argument."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from marketsync.sandbox.books import Books, Habits, Versions

LEAD_DAYS = 3
PRICE = Decimal("19.90")


class Behaviour(Habits, frozen=True, kw_only=True):
    """The account, the vendor's delays, and what is wrong with it just now.

    Pairs are least and most seconds; which it is, is the same for the same order, SKU or feed. `feeds_listed_seconds`:
    until the list shows a feed; a read by id shows every fourth `stale_seconds` late. `fba_every`: after so many
    merchant's orders one that Amazon ships; `payment_fails_every`, `short_page_every`: one in so many, 0 is never.
    `hides_addresses`: the application lacks the role that shows streets and names. `html_page` and `malformed_page` spoil the list.
    """

    client_id: str = "sandbox-client"
    client_secret: str = "sandbox-secret"  # noqa: S105 - invented
    refresh_token: str = "sandbox-refresh"  # noqa: S105 - invented
    token_seconds: float = 3600.0
    rotates_refresh_token: bool = False
    forbids: bool = False
    seller_id: str = "A2SANDBOXSELLER"
    marketplace_ids: tuple[str, ...] = ("A1PA6795UKMFR9",)
    throttles: bool = True
    visibility_lag_seconds: float = 100.0
    stale_seconds: float = 20.0
    pending_seconds: tuple[float, float] = (60.0, 1800.0)
    payment_fails_every: int = 0
    fba_every: int = 0
    short_page_every: int = 0
    relists_on_cancel: bool = False
    cancelled_states_nothing: bool = False
    patch_seconds: tuple[float, float] = (10.0, 300.0)
    feed_seconds: tuple[float, float] = (60.0, 1200.0)
    feed_ends: str = "DONE"
    feeds_listed_seconds: float = 0.0
    hides_addresses: bool = False
    html_page: bool = False
    malformed_page: bool = False


class SoldLine(msgspec.Struct, frozen=True):
    item_id: str
    sku: str
    quantity: int
    unit_price: Decimal
    cancelled: int = 0


class Package(msgspec.Struct, frozen=True):
    """One that the seller confirmed. `known_carrier` is False where the order stays unconfirmed for it."""

    reference: str
    at: datetime
    carrier: str
    tracking: str
    ship_time: str
    lines: tuple[tuple[str, int], ...]
    known_carrier: bool = True


class SoldOrder(msgspec.Struct, frozen=True):
    """`state` is PENDING, UNSHIPPED, CANCELLED, or SHIPPED for one that Amazon sent; what packages do to it is `status`."""

    order_id: str
    number: int
    state: str
    created: datetime
    updated: datetime
    marketplace_id: str
    lines: tuple[SoldLine, ...]
    due: datetime
    by_amazon: bool = False
    packages: tuple[Package, ...] = ()
    cancel_asked: bool = False

    @property
    def status(self) -> str:
        if self.state != "UNSHIPPED" or not any(self.shipped(line.item_id) for line in self.lines):
            return self.state
        left = sum(self.left(line) for line in self.lines)
        return "PARTIALLY_SHIPPED" if left else "SHIPPED"

    def shipped(self, item_id: str) -> int:
        told = (package.lines for package in self.packages if package.known_carrier)
        return sum(count for lines in told for item, count in lines if item == item_id)

    def left(self, line: SoldLine) -> int:
        return max(0, line.quantity - line.cancelled - self.shipped(line.item_id))


class Listing(msgspec.Struct, frozen=True):
    """`lead_days` is wiped by who replaces the whole attribute instead of merging into it."""

    quantity: int
    lead_days: int | None = LEAD_DAYS


class Submission(msgspec.Struct, frozen=True):
    """Quantities that were taken. `wipes`: they came with `replace`. `merged` is false until they have landed."""

    id: str
    at: datetime
    lands_at: datetime
    quantities: Mapping[str, int]
    wipes: bool = False
    landed: bool = False


class World(Books[Behaviour, SoldOrder]):
    def __init__(
        self, offers: Mapping[str, int], behaviour: Behaviour, prices: Mapping[str, Decimal]
    ) -> None:
        super().__init__(behaviour)
        self.listings = {sku: Listing(quantity) for sku, quantity in offers.items()}
        self.prices = dict(prices)
        self.submissions: dict[str, Submission] = {}
        self.refunded: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        """By order and item, for goods and for shipping."""
        self.looked_up = Versions[SoldOrder]()
        self._pending: dict[str, None] = {}
        self._landing: dict[str, None] = {}
        self._lands_last: dict[str, datetime] = {}
        self._later: list[tuple[datetime, Callable[[datetime], None]]] = []

    # Orders

    def place(
        self, at: datetime, lines: Sequence[tuple[str, int]], *, by_amazon: bool = False
    ) -> SoldOrder | None:
        """A buyer orders; None if the listing has not that many. It is lowered at once, while the order is PENDING."""
        if not by_amazon and any(self._offered(sku) < quantity for sku, quantity in lines):
            return None
        number = len(self.orders) + 1
        order_id = f"302-{number:07d}-{number * 7919 % 10**7:07d}"
        for sku, quantity in () if by_amazon else lines:
            self._list(sku, -quantity)
        sold = tuple(
            SoldLine(f"6{number:010d}{i:03d}", sku, quantity, self.prices.get(sku, PRICE))
            for i, (sku, quantity) in enumerate(lines, 1)
        )
        stores = self.behaviour.marketplace_ids
        order = SoldOrder(
            order_id=order_id,
            number=number,
            state="PENDING",
            created=_second(at),
            updated=_second(at),
            marketplace_id=stores[number % len(stores)],
            lines=sold,
            due=at + self._after(self.behaviour.pending_seconds, order_id),
            by_amazon=by_amazon,
        )
        self.record(at, "placed", order_id, ",".join(f"{sku}:{quantity}" for sku, quantity in lines))
        self.put(order, at)
        every = self.behaviour.fba_every
        if every and not by_amazon and number % every == 0:
            self.place(at, [(lines[0][0], 1)], by_amazon=True)
        return order

    def put(self, order: SoldOrder, at: datetime, *, stamp: datetime | None = None) -> SoldOrder:
        order = replace(order, updated=_second(stamp or at))
        self.orders[order.order_id] = order
        self._pending.pop(order.order_id, None)
        if order.state == "PENDING":
            self._pending[order.order_id] = None
        versions = len(self.looked_up.held(order.order_id))
        late = versions > 0 and share(f"{order.order_id} {versions}") < 0.25
        by_id = at + timedelta(seconds=self.behaviour.stale_seconds if late else 0.0)
        self.looked_up.add(order.order_id, by_id, order)
        self.show(order.order_id, order, at)
        return order

    def by_id(self, order_id: str, at: datetime) -> SoldOrder | None:
        """What a read by id shows: nearly always the newest version."""
        return self.looked_up.of(order_id, at)

    def cancel(self, order: SoldOrder, at: datetime, what: str) -> SoldOrder | None:
        """By whomever, while nothing has left; None if it is too late."""
        if order.state not in {"PENDING", "UNSHIPPED"} or order.packages or order.by_amazon:
            return None
        for line in order.lines if self.behaviour.relists_on_cancel else ():
            self._list(line.sku, line.quantity - line.cancelled)
        self.record(at, what, order.order_id)
        return self.put(replace(order, state="CANCELLED"), at)

    def confirm(self, order: SoldOrder, package: Package) -> SoldOrder:
        """A package by its reference: a second one of the same reference is the first one, edited."""
        others = tuple(held for held in order.packages if held.reference != package.reference)
        what = "package" if len(others) == len(order.packages) else "package_edited"
        self.record(package.at, what, order.order_id, package.tracking)
        return self.put(replace(order, packages=(*others, package)), package.at)

    # Listings

    def submit(self, at: datetime, quantities: Mapping[str, int], lands_at: datetime, wipes: bool) -> str:
        """Taken now, done later; what was submitted for one SKU lands in its order."""
        number = len(self.submissions) + 1
        submission_id = f"{zlib.crc32(str(number).encode()):08x}-0000-4000-8000-{number:012d}"
        lands_at = max([lands_at, *(self._lands_last.get(sku, at) for sku in quantities)])
        self._lands_last.update(dict.fromkeys(quantities, lands_at))
        self.submissions[submission_id] = Submission(submission_id, at, lands_at, dict(quantities), wipes)
        self._landing[submission_id] = None
        return submission_id

    def patch_lands(self, at: datetime, sku: str) -> datetime:
        return at + self._after(self.behaviour.patch_seconds, f"{sku} {len(self.submissions)}")

    def later(self, at: datetime, what: Callable[[datetime], None]) -> None:
        """Something that takes effect at its own time, in the order in which it was asked for."""
        self._later.append((at, what))

    def feed_ends(self, at: datetime, feed_id: str) -> datetime:
        return at + self._after(self.behaviour.feed_seconds, feed_id)

    def advance(self, at: datetime) -> None:
        for order_id in list(self._pending):
            if self.orders[order_id].due <= at:
                self._paid(self.orders[order_id])
        for submission_id in list(self._landing):
            held = self.submissions[submission_id]
            if held.lands_at <= at:
                self._land(held)
        due = [x for x in self._later if x[0] <= at]
        self._later = [x for x in self._later if x[0] > at]
        for moment, what in sorted(due, key=lambda x: x[0]):
            what(moment)

    def _paid(self, order: SoldOrder) -> None:
        """Amazon has the money or gives up; what it ships itself leaves at once."""
        every = self.behaviour.payment_fails_every
        if every and order.number % every == 0:
            self.cancel(order, order.due, "payment_failed")
            return
        self.record(order.due, "paid", order.order_id)
        self.put(replace(order, state="SHIPPED" if order.by_amazon else "UNSHIPPED"), order.due)

    def _land(self, held: Submission) -> None:
        """Absolute: what was sold between the sending and the landing is listed again."""
        del self._landing[held.id]
        for sku, quantity in held.quantities.items():
            lead = None if held.wipes else self.listings[sku].lead_days
            self.listings[sku] = Listing(quantity, lead)
        self.submissions[held.id] = replace(held, landed=True)
        self.record(
            held.lands_at, "listed", held.id, ",".join(f"{s}:{q}" for s, q in held.quantities.items())
        )

    def _offered(self, sku: str) -> int:
        listing = self.listings.get(sku)
        return 0 if listing is None else listing.quantity

    def _list(self, sku: str, change: int) -> None:
        held = self.listings.get(sku, Listing(0))
        self.listings[sku] = replace(held, quantity=held.quantity + change)

    def _after(self, bounds: tuple[float, float], seed: str) -> timedelta:
        low, high = bounds
        return timedelta(seconds=low + (high - low) * share(seed))


def share(seed: str) -> float:
    """From 0 to below 1, the same for the same text."""
    return zlib.crc32(seed.encode()) / 2**32


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
