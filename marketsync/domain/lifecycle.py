"""What one revision of an order asks for, as a function of facts (design sections 5 and 8). Nothing is sent from here."""

from __future__ import annotations

import enum
import hashlib
from datetime import datetime

import msgspec

from marketsync.domain.orders import Fulfilment, Order, Phase, imbalance, phase, without_private


class Want(enum.Enum):
    """What is to happen next with an order at its back-office or its marketplace."""

    NOTHING = "nothing"  # wait for the next revision
    ACCEPT = "accept"  # decide and answer the marketplace
    CREATE = "create"  # bring it into the back-office, or bring what is there to this revision
    CANCEL = "cancel"  # it must not be, or not stay, in the back-office
    HOLD = "hold"  # a person decides: it went on without us


class Switches(msgspec.Struct, frozen=True):
    """What a connection wants of orders that the marketplace fulfils itself (FBA and the like): whether they come into the
    shop at all, whether they take the shop's stock, and whether the shop is to ship them."""

    import_fulfilled: bool = False
    fulfilled_touch_stock: bool = False
    fulfilled_ship: bool = False


ASKED = "the buyer asks to cancel it: answer at the marketplace"
FINISHED = (Phase.SHIPPED, Phase.CLOSED, Phase.CANCELLED, Phase.REFUSED, Phase.REFUNDED)


def want(order: Order, *, pushed: bool, switches: Switches) -> Want:
    """`pushed`: there is, or may be, a record of it in the back-office."""
    if order.fulfilment is Fulfilment.MARKETPLACE and not switches.import_fulfilled:
        return Want.NOTHING
    match phase(order):
        case Phase.PENDING | Phase.ACCEPTED:
            return Want.CREATE if pushed else Want.NOTHING
        case Phase.TO_ACCEPT:
            return Want.ACCEPT
        case Phase.READY:
            return Want.CREATE
        case Phase.PARTLY_SHIPPED | Phase.SHIPPED | Phase.CLOSED:
            return Want.CREATE if pushed or order.fulfilment is Fulfilment.MARKETPLACE else Want.HOLD
        case Phase.CANCELLED | Phase.REFUSED:
            return Want.CANCEL
        case Phase.REFUNDED:
            return Want.NOTHING


def takes_stock(order: Order, switches: Switches) -> bool:
    return order.fulfilment is Fulfilment.MERCHANT or switches.fulfilled_touch_stock


def ships(order: Order, switches: Switches) -> bool:
    """Whether the shop's people send it."""
    return order.fulfilment is Fulfilment.MERCHANT or switches.fulfilled_ship


def still_open(order: Order) -> bool:
    """May it still change, ship or be confirmed?"""
    return phase(order) not in FINISHED


def problem(order: Order) -> tuple[str, str] | None:
    """Why the order can't be pushed whatever its SKUs are: (cause, text for a person), or None (D13, failure 24)."""
    difference = imbalance(order)
    if difference != 0:
        text = f"its parts do not add up to its total: {difference:+f} {order.currency}"
        return f"imbalance:{order.key.connection}/{order.key.order_id}", text
    if order.cancel_asked:
        return cancel_asked(order), ASKED
    return None


def cancel_asked(order: Order) -> str:
    """The cause for which an order waits while its buyer's wish to cancel is not answered."""
    return f"cancel_asked:{order.key.connection}/{order.key.order_id}"


def fingerprint(order: Order) -> str:
    """Of everything that a revision may change, private data included, so that an edited address is a revision."""
    stamped = msgspec.structs.replace(order, updated_at=order.created_at)
    return hashlib.sha256(msgspec.json.encode(stamped)).hexdigest()[:32]


def shop_fingerprint(order: Order, private: bytes) -> str:
    """Of what the back-office holds of an order: an UPDATE is due when it changes. `private` are the buyer's documents."""
    bare = without_private(order)
    lines = tuple(
        (x.line_id, x.sku, x.wanted, x.line_total, x.shipping, x.taxes, x.shipping_taxes) for x in bare.lines
    )
    parts = msgspec.json.encode((lines, bare.total, bare.fees, bare.currency, bare.shipping_method))
    return hashlib.sha256(parts + private).hexdigest()[:32]


def late(order: Order, now: datetime) -> bool:
    """Past its ship-by date and not wholly shipped."""
    return order.ship_by is not None and now > order.ship_by and still_open(order)
