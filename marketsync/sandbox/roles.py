"""What a world needs of a vendor's simulated server: who acts in it, and what is true in it.

An adapter names its factory in `AdapterSpec.sandbox` as `module:function`; it takes a SidePlan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

import msgspec

from marketsync.domain.orders import Party
from marketsync.ports import Request, Response


class Ware(msgspec.Struct, frozen=True):
    """An article of the world. `stock` is what the shop has, and what marketplaces list, at the beginning."""

    sku: str
    stock: int
    price: Decimal = Decimal("19.90")


class SidePlan(msgspec.Struct, frozen=True):
    """`parcels`: a marketplace that takes parcel by parcel; without it an order ships as a whole.

    `throttles`: it answers 429 to who calls more often than its contract permits. `buyer`: every order's buyer, None
    for people of its own. `options` are the vendor's own switches, by name.
    """

    name: str
    wares: tuple[Ware, ...]
    start: datetime
    clock_skew_seconds: float = 0.0
    visibility_lag_seconds: float = 0.0
    parcels: bool = False
    throttles: bool = True
    buyer: Party | None = None
    options: Mapping[str, Any] = {}


class Told(msgspec.Struct, frozen=True):
    """One parcel as a marketplace holds it. `lines` are (sku, units); () where it keeps none."""

    tracking: str
    carrier: str
    lines: tuple[tuple[str, int], ...] = ()


class Sale(msgspec.Struct, frozen=True):
    """A marketplace order in truth. `lines` are (sku, quantity) as ordered, without units taken off since.

    `payable`: accepted and debited at some time. `told` are the tracking numbers that took effect, in order and
    as often as they did where `exact` parcels are records of their own; `shipped` counts the times it was shipped.

    What a conformance check compares with, where a side can say it: `created_at` and `changed_at` in the marketplace's
    own time; `amounts` of the lines and `total` as it states them; `accepted_units` by line; `parcels` as it holds
    them now; `pending` (not payable or not complete yet); `by_marketplace` ships it; `closed` needs no more work.
    """

    order_id: str
    placed_at: datetime
    lines: tuple[tuple[str, int], ...]
    accepted: bool
    payable: bool
    refused: bool
    cancelled: bool
    told: tuple[str, ...] = ()
    exact: bool = False
    shipped: int = 0
    created_at: datetime | None = None
    changed_at: datetime | None = None
    currency: str = ""
    total: Decimal | None = None
    amounts: tuple[Decimal, ...] = ()
    accepted_units: tuple[int, ...] = ()
    parcels: tuple[Told, ...] = ()
    pending: bool = False
    by_marketplace: bool = False
    closed: bool = False

    @property
    def live(self) -> bool:
        return not (self.refused or self.cancelled)


class AfterSale(msgspec.Struct, frozen=True):
    """What took effect of what the seller asked for after a sale: `cancels` counts, `refunds` are the sums, in order."""

    cancels: int = 0
    refunds: tuple[Decimal, ...] = ()


class ShopLine(msgspec.Struct, frozen=True):
    """`left` is what no parcel has taken yet, `taken` what the shop's figure has lost for it; `key` is the shop's own."""

    key: str
    sku: str
    quantity: int
    left: int
    taken: int = 0


class ShopOrder(msgspec.Struct, frozen=True):
    """An order that was created by API. `ref` is our reference as the shop holds it.

    `released`: it takes stock now. `parcels` are the tracking numbers of what was sent. `total` is what its buyer is
    to pay as the shop reckons it, None where it does not say.
    """

    remote_id: str
    ref: str
    released: bool
    cancelled: bool
    created_at: datetime
    lines: tuple[ShopLine, ...]
    parcels: tuple[str, ...] = ()
    total: Decimal | None = None
    currency: str = ""


class FarSide(Protocol):
    """`settings` and `secrets` are what a connection to it says in the configuration; secrets by field, as values."""

    def handle(self, request: Request, now: datetime) -> Response: ...
    def settings(self, url: str) -> Mapping[str, Any]: ...
    def secrets(self) -> Mapping[str, str]: ...


@runtime_checkable
class MarketplaceSide(FarSide, Protocol):
    def listed(self, now: datetime) -> Mapping[str, int]: ...
    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None: ...
    def cancel_order(self, now: datetime, order_id: str) -> bool: ...
    def sales(self, now: datetime) -> Sequence[Sale]: ...


class StockWrite(msgspec.Struct, frozen=True):
    """Absolute quantities that a marketplace has taken; until they have `landed` they have no effect."""

    landed: bool
    quantities: Mapping[str, int]


@runtime_checkable
class KeepsListings(Protocol):
    """A marketplace that can say which writes of stock it has taken, in order of arrival."""

    def stock_writes(self, now: datetime) -> Sequence[StockWrite]: ...


@runtime_checkable
class KeepsJournal(Protocol):
    """A side that writes down what happens in it: (its own order id or "", what, in a few words). It only grows.
    `journal` tells what came after the first `known` entries."""

    def journal(self, known: int) -> Sequence[tuple[str, str]]: ...


@runtime_checkable
class ShopSide(FarSide, Protocol):
    """`ship` sends one parcel of (line key, quantity); `restock` adds units by hand; a web sale is paid at once."""

    def orders(self) -> Sequence[ShopOrder]: ...
    def stock(self) -> Mapping[str, int]: ...
    def ship(
        self, now: datetime, remote_id: str, lines: Sequence[tuple[str, int]], tracking: str
    ) -> None: ...
    def web_sale(self, now: datetime, sku: str, quantity: int) -> None: ...
    def restock(self, now: datetime, sku: str, quantity: int) -> None: ...


@runtime_checkable
class TroubledMarketplace(Protocol):
    """What may befall a marketplace. `swallow`: the next "stock", "accept" or "confirm" is acknowledged and not done;
    `make_up` does by hand what can be, and returns all (kind, subject) of it. `poison` makes one order unreadable until
    `mend`. `spoil_page`: the next list that can be is "short", "repeated" or "expired"; `pages_spoilt` counts them.
    """

    pages_spoilt: dict[str, int]

    def move_clock(self, seconds: float) -> None: ...
    def see_late(self, seconds: float) -> None: ...
    def touch(self, now: datetime, order_id: str, backdated_seconds: float) -> None: ...
    def poison(self, now: datetime, order_id: str, kind: int) -> None: ...
    def mend(self, now: datetime, order_id: str) -> None: ...
    def swallow(self, kind: str) -> None: ...
    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]: ...
    def spoil_page(self, kind: str) -> None: ...


@runtime_checkable
class TroubledShop(Protocol):
    """What may befall a shop. `trash` is a person's hand, `restore` takes it back."""

    def move_clock(self, seconds: float) -> None: ...
    def change_zone(self, hours: float) -> None: ...
    def trash(self, now: datetime, remote_id: str) -> None: ...
    def restore(self, now: datetime, remote_id: str) -> None: ...
    def cancel(self, now: datetime, remote_id: str) -> None: ...


@runtime_checkable
class EditsOrders(Protocol):
    """What buyers and operators do to an order after it was placed. False where this vendor has no such thing, or the
    order is not in a state for it."""

    def cancel_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool: ...
    def refund_units(self, now: datetime, order_id: str, sku: str, quantity: int) -> bool: ...
    def receive(self, now: datetime, order_id: str, closed: bool) -> bool: ...


@runtime_checkable
class AfterSalesSide(Protocol):
    """A marketplace where the seller may cancel a sale or give money back. `reason` is a word of its own that it takes with
    "cancel_sale" or "refund", "" where it wants none. `wish_cancelled` is the buyer's, who then waits for the seller's
    answer; False where this vendor has no such thing."""

    def after_sale(self, now: datetime, order_id: str) -> AfterSale: ...
    def reason(self, kind: str) -> str: ...
    def wish_cancelled(self, now: datetime, order_id: str) -> bool: ...


@runtime_checkable
class Fulfils(Protocol):
    """A marketplace that ships some orders itself. None where the listing has not that many left."""

    def place_fulfilled(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None: ...


@runtime_checkable
class GivesTokens(Protocol):
    """A side that is called with tokens which it gave out. `expire` ends the access token of now, `revoke` the consent;
    `issued` are all tokens so far, of either sort."""

    def expire(self, now: datetime) -> None: ...
    def revoke(self, now: datetime) -> None: ...
    def issued(self) -> Sequence[str]: ...


@runtime_checkable
class TellsOfOrders(Protocol):
    """A marketplace that tells of changes as they happen. `hints` are its messages of one order so far, as it sends them;
    `other_hints` come the same way and concern no order of this account: by what they are, such as "of another seller"."""

    def hints(self, now: datetime, order_id: str) -> Sequence[bytes]: ...
    def other_hints(self, now: datetime) -> Mapping[str, bytes]: ...


@runtime_checkable
class SignsHints(Protocol):
    """A marketplace that pushes its messages and signs them. `push_settings` and `push_secrets` are what a connection says
    besides to take them at `address`. `signed` are a message's headers, with lower-case names: by a key that is not the vendor's where
    `forged`, or by one of another name, which the vendor knows if it is in use. ImportError where signing needs more than
    is installed."""

    def push_settings(self, address: str) -> Mapping[str, Any]: ...
    def push_secrets(self) -> Mapping[str, str]: ...
    def signed(self, body: bytes, *, forged: bool = False, key: str = "") -> Mapping[str, str]: ...


@runtime_checkable
class EditsArticles(Protocol):
    """A shop whose people add articles, also a second one of a SKU, and delete them."""

    def add_article(self, now: datetime, sku: str, stock: int) -> None: ...
    def forget_article(self, now: datetime, sku: str) -> None: ...


Side = MarketplaceSide | ShopSide
OpenSide = Callable[[SidePlan], Side]
