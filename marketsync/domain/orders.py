"""The order in one schema: facts per line and per order. The phase is derived, never stored (design section 8)."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal

import msgspec

from marketsync.domain.ids import LineId, OrderKey, Sku
from marketsync.domain.money import smallest_unit


class Fulfilment(enum.Enum):
    """Who ships: MARKETPLACE orders are never confirmed by us and may have no address."""

    MERCHANT = "merchant"
    MARKETPLACE = "marketplace"


class TaxCollector(enum.Enum):
    SELLER = "seller"
    MARKETPLACE = "marketplace"


class Phase(enum.Enum):
    PENDING = "pending"  # not payable or not complete yet: claimed, not pushed
    TO_ACCEPT = "to_accept"  # the marketplace waits for our yes or no
    ACCEPTED = "accepted"  # we said yes; the buyer's debit is awaited
    READY = "ready"  # to be pushed, or pushed, to the back-office
    PARTLY_SHIPPED = "partly_shipped"
    SHIPPED = "shipped"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    REFUNDED = "refunded"


class Party(msgspec.Struct, frozen=True):
    """A buyer: private data, kept apart in the store and never logged."""

    name: str
    company: str = ""
    email: str = ""
    phone: str = ""


class Address(msgspec.Struct, frozen=True):
    """`country` is ISO 3166-1 alpha-2. Private data, as Party is."""

    first_name: str
    last_name: str
    street1: str
    city: str
    postcode: str
    country: str
    street2: str = ""
    company: str = ""
    state: str = ""
    phone: str = ""


class Tax(msgspec.Struct, frozen=True):
    """An amount of tax as stated; the rate in percent where the marketplace gives it."""

    code: str
    amount: Decimal
    rate: Decimal | None = None
    collector: TaxCollector = TaxCollector.SELLER


class OrderLine(msgspec.Struct, frozen=True):
    """`unit_price` and `line_total` are two stated figures: neither is computed from the other.

    Both include tax if `Order.prices_include_tax`. Quantities are whole units, cumulative.
    """

    line_id: LineId
    sku: Sku
    quantity: int
    line_total: Decimal
    unit_price: Decimal | None = None
    title: str = ""
    shipping: Decimal = Decimal(0)
    taxes: tuple[Tax, ...] = ()
    shipping_taxes: tuple[Tax, ...] = ()
    accepted: bool | None = None
    cancelled: int = 0
    refused: int = 0
    shipped: int = 0
    refunded: int = 0
    returned: int = 0

    @property
    def wanted(self) -> int:
        """Units that the buyer still wants."""
        return max(0, self.quantity - self.cancelled - self.refused)


class Order(msgspec.Struct, frozen=True):
    """One marketplace order at one revision. Times are aware UTC, in the marketplace's own clock.

    `total` is what the marketplace states; `fees` are stated charges that belong to no line.
    `awaits_acceptance`, `accepted`, `paid` and `closed` are facts as the marketplace tells them; `addressed` says
    that there is a delivery address also where the address itself is kept elsewhere. `channel` is which of the account's
    stores sold it, in the marketplace's words. `cancel_asked`: the buyer wants to cancel, and nobody has answered yet.
    """

    key: OrderKey
    created_at: datetime
    updated_at: datetime
    currency: str
    total: Decimal
    prices_include_tax: bool
    lines: tuple[OrderLine, ...]
    fulfilment: Fulfilment = Fulfilment.MERCHANT
    fees: Decimal = Decimal(0)
    awaits_acceptance: bool = False
    accepted: bool = False
    paid: bool = False
    closed: bool = False
    addressed: bool = False
    accept_by: datetime | None = None
    ship_by: datetime | None = None
    buyer: Party | None = None
    ship_to: Address | None = None
    bill_to: Address | None = None
    shipping_method: str = ""
    state_as_stated: str = ""
    channel: str = ""
    cancel_asked: bool = False

    def line(self, line_id: LineId) -> OrderLine | None:
        return next((line for line in self.lines if line.line_id == line_id), None)


def phase(order: Order) -> Phase:
    """The phase of an order, derived from its facts alone."""
    wanted = sum(line.wanted for line in order.lines)
    if wanted == 0:
        refused = sum(line.refused for line in order.lines)
        return (
            Phase.REFUSED if refused and refused == sum(x.quantity for x in order.lines) else Phase.CANCELLED
        )
    shipped = sum(min(line.shipped, line.wanted) for line in order.lines)
    if sum(line.refunded for line in order.lines) >= wanted:
        return Phase.REFUNDED
    if order.closed:
        return Phase.CLOSED
    if shipped >= wanted:
        return Phase.SHIPPED
    if shipped > 0:
        return Phase.PARTLY_SHIPPED
    if order.awaits_acceptance:
        return Phase.TO_ACCEPT
    addressed = order.addressed or order.ship_to is not None or order.fulfilment is Fulfilment.MARKETPLACE
    if order.paid and addressed:
        return Phase.READY
    return Phase.ACCEPTED if order.accepted else Phase.PENDING


def imbalance(order: Order) -> Decimal:
    """Stated total less the sum of its stated parts, zero for an order that balances (D13).

    The total may state the parts with or without the tax on top: where prices exclude tax, either is a balance, and so is
    a total with no tax but the seller's own.
    """
    parts = sum((line.line_total + line.shipping for line in order.lines), order.fees)
    difference = order.total - parts
    if order.prices_include_tax or abs(difference) < smallest_unit(order.currency):
        return _rounded_away(difference, order.currency)
    taxes = [tax for line in order.lines for tax in (*line.taxes, *line.shipping_taxes)]
    every = sum((tax.amount for tax in taxes), Decimal(0))
    sellers = sum((tax.amount for tax in taxes if tax.collector is TaxCollector.SELLER), Decimal(0))
    balanced = any(_rounded_away(difference - tax, order.currency) == 0 for tax in (every, sellers))
    return Decimal(0) if balanced else difference


def payable(order: Order) -> Decimal:
    """What the buyer pays in all: the stated parts, with the tax that comes on top of them."""
    parts = sum((line.line_total + line.shipping for line in order.lines), order.fees)
    if order.prices_include_tax:
        return parts
    return parts + sum((t.amount for x in order.lines for t in (*x.taxes, *x.shipping_taxes)), Decimal(0))


def _rounded_away(difference: Decimal, code: str) -> Decimal:
    return Decimal(0) if abs(difference) < smallest_unit(code) else difference


def without_private(order: Order) -> Order:
    """The order without its buyer: what may be stored outside the private tables."""
    addressed = order.addressed or order.ship_to is not None
    return msgspec.structs.replace(order, buyer=None, ship_to=None, bill_to=None, addressed=addressed)
