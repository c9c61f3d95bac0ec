"""What is true at the end, counted from the far sides' own books and never from ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from marketsync.domain.ids import ConnectionId, MerchantId, OrderId, OrderKey, reference
from marketsync.sandbox.roles import MarketplaceSide, Sale, ShopLine, ShopOrder, ShopSide


class Owed(msgspec.Struct, frozen=True):
    """Units that a sale has taken from the shop's own figure, or has yet to take. `decided`: it was accepted."""

    seller: str
    order_id: str
    sku: str
    units: int
    decided: bool


class Moment(msgspec.Struct, frozen=True):
    """The truth of one moment. `base`: the shop's figure as if no marketplace had ever sold anything; it moves by web
    sales, deliveries of goods and people's edits alone. `owed`: every sale that is live, or that the shop holds."""

    at: datetime
    base: dict[str, int]
    owed: tuple[Owed, ...]

    def free(self, sku: str) -> int:
        """What the shop has less what was sold and is not taken from it yet; below zero it is a debt."""
        return self.base.get(sku, 0) - sum(sale.units for sale in self.owed if sale.sku == sku)


class Oversale(msgspec.Struct, frozen=True):
    """A sale of more than there was. `other_at`: when the sale before it of the same SKU happened, wherever.

    `quantity` was sold, `units` of it are not there; `before` is the truth just before the sale.
    """

    at: datetime
    seller: str
    sku: str
    units: int
    other_at: datetime | None
    quantity: int
    before: Moment
    order_id: str = ""


class Books:
    """What the world itself did, beside what its sides have on record."""

    def __init__(self, merchant: str, initial: Mapping[str, int]) -> None:
        self.merchant = MerchantId(merchant)
        self.initial = dict(initial)
        self.web_sold: dict[str, int] = {}
        self.restocked: dict[str, int] = {}
        self.cancelled: list[tuple[str, str]] = []
        self.sold: list[tuple[str, str, datetime]] = []
        self.placed: dict[tuple[str, str], datetime] = {}
        self.oversales: list[Oversale] = []
        self.parcels = 0
        self.landed_late = 0
        self._keys: dict[OrderKey, str] = {}

    def key_of(self, marketplace: str, order_id: str) -> str:
        """What our reference says of the order, without the installation that wrote it."""
        key = OrderKey(self.merchant, ConnectionId(marketplace), OrderId(order_id))
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = _tail(reference("x", key))
        return known

    def key_of_ref(self, ref: str) -> str:
        return _tail(ref)

    def base(self, shops: Mapping[str, ShopSide]) -> tuple[dict[str, int], dict[str, list[ShopLine]]]:
        """`Moment.base`, and by `key_of` what orders of ours took of the shops' figures."""
        base: dict[str, int] = {}
        held: dict[str, list[ShopLine]] = {}
        for name in sorted(shops):
            for sku, quantity in shops[name].stock().items():
                base[sku] = base.get(sku, 0) + quantity
            for order in shops[name].orders():
                held.setdefault(_tail(order.ref), []).extend(x for x in order.lines if x.taken)
        for line in (line for lines in held.values() for line in lines):
            base[line.sku] = base.get(line.sku, 0) + line.taken
        return base, held

    def moment(
        self, marketplaces: Mapping[str, MarketplaceSide], shops: Mapping[str, ShopSide], now: datetime
    ) -> Moment:
        """The truth of now, from the far sides' own books."""
        base, held = self.base(shops)
        owed: list[Owed] = []
        for name in sorted(marketplaces):
            for sale in marketplaces[name].sales(now):
                lines = held.pop(self.key_of(name, sale.order_id), ())
                units = _summed((line.sku, line.taken) for line in lines)
                for sku, quantity in _summed(sale.lines if sale.live else ()).items():
                    units[sku] = max(quantity, units.get(sku, 0))
                owed += [Owed(name, sale.order_id, sku, count, sale.accepted) for sku, count in units.items()]
        strangers = [line for lines in held.values() for line in lines]
        owed += [Owed("", "", line.sku, line.taken, decided=True) for line in strangers]
        return Moment(now, base, tuple(owed))


def _summed(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    units: dict[str, int] = {}
    for sku, quantity in lines:
        units[sku] = units.get(sku, 0) + quantity
    return units


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the whole world so far. A run that came to rest has zeros from `unpushed` to `off_stock`.

    `lost`, `duplicated` and `phantom` count orders. `doubled_parcels` are parcels told twice, `false_parcels` ones
    that were told and never sent. `withdrawn` are parcels whose buyer had cancelled by the time that they could be
    told: no marketplace takes them. `off_stock` is how many units the shop's figures are away from what its sales
    explain. `problems` names what is wrong; it is for a person and holds no buyer.
    """

    created: int
    accepted: int
    refused: int
    cancelled: int
    pushed: int
    parcels: int
    confirmed: int
    withdrawn: int
    undecided: int
    unpushed: int
    unshipped: int
    unconfirmed: int
    duplicated: int
    phantom: int
    doubled_parcels: int
    false_parcels: int
    off_stock: int
    oversold: int
    problems: tuple[str, ...]

    @property
    def lost(self) -> int:
        return self.unpushed

    @property
    def sound(self) -> bool:
        return not self.problems


class _Match(msgspec.Struct, frozen=True):
    """A sale and what the shops hold for it."""

    marketplace: str
    sale: Sale
    orders: tuple[ShopOrder, ...]

    @property
    def held(self) -> tuple[ShopOrder, ...]:
        return tuple(order for order in self.orders if order.released)

    @property
    def parcels(self) -> tuple[str, ...]:
        return tuple(number for order in self.orders for number in order.parcels)

    @property
    def whole(self) -> bool:
        return bool(self.held) and all(line.left == 0 for order in self.held for line in order.lines)


def audit(
    books: Books, marketplaces: Mapping[str, MarketplaceSide], shops: Mapping[str, ShopSide], now: datetime
) -> Audit:
    orders = [order for name in sorted(shops) for order in shops[name].orders()]
    by_key: dict[str, list[ShopOrder]] = {}
    for order in orders:
        by_key.setdefault(_tail(order.ref), []).append(order)
    matches = [
        _Match(name, sale, tuple(by_key.pop(books.key_of(name, sale.order_id), ())))
        for name in sorted(marketplaces)
        for sale in marketplaces[name].sales(now)
    ]
    strangers = [order for group in by_key.values() for order in group]
    wrong: dict[str, list[str]] = {}
    for kind, text in (*_judged(matches), *_strange(strangers), *_stock(books, shops, orders)):
        wrong.setdefault(kind, []).append(text)
    counts = {kind: len(wrong.get(kind, ())) for kind in _KINDS}
    sales = [match.sale for match in matches]
    return Audit(
        created=len(sales),
        accepted=sum(sale.accepted for sale in sales),
        refused=sum(sale.refused for sale in sales),
        cancelled=sum(sale.cancelled for sale in sales),
        pushed=sum(bool(match.held) for match in matches),
        parcels=sum(len(match.parcels) for match in matches),
        confirmed=sum(len(_told(match)) for match in matches),
        withdrawn=sum(len(match.parcels) - len(_told(match)) for match in matches if not match.sale.live),
        oversold=sum(sale.units for sale in books.oversales),
        problems=tuple(f"{kind}: {text}" for kind in _KINDS for text in wrong.get(kind, ())),
        **counts,
    )


_KINDS = (
    "undecided", "unpushed", "unshipped", "unconfirmed", "duplicated", "phantom", "doubled_parcels",
    "false_parcels", "off_stock",
)  # fmt: skip


def _judged(matches: list[_Match]) -> Iterator[tuple[str, str]]:
    for match in matches:
        sale, name = match.sale, f"{match.marketplace}/{match.sale.order_id}"
        if sale.live and not sale.accepted:
            yield "undecided", name
        if sale.live and sale.accepted and not match.held:
            yield "unpushed", name
        if sale.live and match.held and not match.whole:
            yield "unshipped", name
        if len(match.orders) > 1:
            yield "duplicated", f"{name} is {len(match.orders)} orders in the shop"
        if not sale.live and match.held and not match.parcels:
            yield "phantom", f"{name} is refused or cancelled, and live in the shop"
        yield from _judged_parcels(match, name)


def _judged_parcels(match: _Match, name: str) -> Iterator[tuple[str, str]]:
    sale, told = match.sale, _told(match)
    for number in match.parcels:
        if sale.live and number not in told:
            yield "unconfirmed", f"{name} parcel {number}"
        if sale.exact and sale.told.count(number) > 1:
            yield "doubled_parcels", f"{name} parcel {number}"
    for number in dict.fromkeys(sale.told):
        if number not in match.parcels:
            yield "false_parcels", f"{name} parcel {number}"
    if sale.shipped > 1:
        yield "doubled_parcels", f"{name} was shipped {sale.shipped} times"
    if sale.live and match.whole and not sale.shipped:
        yield "unconfirmed", f"{name} has left and is not shipped"


def _told(match: _Match) -> tuple[str, ...]:
    """A marketplace that keeps one tracking for each order has no earlier parcel to be told of once it is shipped."""
    if not match.sale.exact and match.sale.shipped:
        return match.parcels
    return tuple(number for number in match.parcels if number in match.sale.told)


def _strange(orders: list[ShopOrder]) -> Iterator[tuple[str, str]]:
    for order in orders:
        yield "phantom", f"order {order.remote_id} of the shop belongs to no sale"


def _stock(books: Books, shops: Mapping[str, ShopSide], orders: list[ShopOrder]) -> Iterator[tuple[str, str]]:
    for sku, initial in sorted(books.initial.items()):
        taken = sum(
            line.quantity for order in orders if order.released for line in order.lines if line.sku == sku
        )
        expected = initial + books.restocked.get(sku, 0) - books.web_sold.get(sku, 0) - taken
        found = sum(shop.stock().get(sku, 0) for shop in shops.values())
        if found != expected:
            yield "off_stock", f"{sku} is {found} in the shop, and its sales leave {expected}"


def _tail(ref: str) -> str:
    return "-".join(ref.split("-")[2:])
