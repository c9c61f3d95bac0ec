"""What a person may ask of a marketplace after a sale, decided from facts: a cancel before it ships, money back afterwards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal

import msgspec

from marketsync.domain.ids import LineId, OrderId
from marketsync.domain.money import AMOUNT_MAX, smallest_unit
from marketsync.domain.orders import Fulfilment, Order, OrderLine, Phase, phase

OVER = (Phase.CANCELLED, Phase.REFUSED, Phase.REFUNDED)
GONE = (Phase.SHIPPED, Phase.CLOSED)


class CancelSale(msgspec.Struct, frozen=True):
    """Kind.CANCEL_SALE: these lines are not sold after all, or the whole order if none is named.

    `reason` is the marketplace's own word, "" for the adapter's. `channel` is `Order.channel`.
    """

    order_id: OrderId
    lines: tuple[LineId, ...] = ()
    reason: str = ""
    channel: str = ""


class RefundLine(msgspec.Struct, frozen=True):
    """Money back for one line: for the goods, and for their shipping, both as the marketplace stated them."""

    line_id: LineId
    amount: Decimal
    shipping: Decimal = Decimal(0)


class RefundSale(msgspec.Struct, frozen=True):
    """Kind.REFUND: money back for what was sold. `key` is ours, never used twice."""

    key: str
    order_id: OrderId
    currency: str
    lines: tuple[RefundLine, ...]
    reason: str = ""
    channel: str = ""


class Unacceptable(ValueError):
    """What was asked for can't be; the text is for the person who asked."""


def is_over(order: Order, lines: Sequence[LineId]) -> bool:
    """Whether nothing of it is wanted any more: there is nothing to cancel."""
    chosen = [x for x in order.lines if not lines or x.line_id in lines]
    return phase(order) in OVER or not any(line.wanted for line in chosen)


def check_cancel(order: Order, lines: Sequence[LineId], sent: Collection[LineId]) -> None:
    """Raises Unacceptable. `sent` are the lines of which the shop has sent something, told to the marketplace or not."""
    if order.fulfilment is Fulfilment.MARKETPLACE:
        raise Unacceptable("the marketplace ships this order itself: cancel it there")
    now = phase(order)
    if now in OVER:
        raise Unacceptable(f"the order is {now.value} already")
    if now in GONE:
        raise Unacceptable("the order is shipped: it can't be cancelled any more, only refunded")
    for line in [_line(order, line_id) for line_id in lines] or order.lines:
        if lines and not line.wanted:
            raise Unacceptable(f"line {line.line_id} is cancelled already")
        if line.shipped or line.line_id in sent:
            rest = "" if lines else ": name the lines that are not, with --line"
            raise Unacceptable(f"line {line.line_id} is shipped{rest}")


def refund_line(order: Order, line_id: LineId, amount: Decimal, earlier: Sequence[RefundSale]) -> RefundLine:
    """`amount` as goods first and shipping for the rest, beside what was given back before. Raises Unacceptable.

    Tax that comes on top of prices is no part of it: marketplaces add the tax of what they give back.
    """
    line, unit = _line(order, line_id), smallest_unit(order.currency)
    if not amount.is_finite() or not 0 < amount < AMOUNT_MAX or amount % unit:
        raise Unacceptable(
            f"{amount} is no amount of {order.currency}: give a sum above zero, in steps of {unit}"
        )
    now = phase(order)
    if now in OVER:
        raise Unacceptable(f"the order is {now.value} already")
    if not line.shipped and now not in GONE:
        raise Unacceptable(f"line {line_id} is not shipped yet: cancel it, which gives all the money back")
    given = [x for refund in earlier for x in refund.lines if x.line_id == line_id]
    goods = max(Decimal(0), line.line_total - sum((x.amount for x in given), Decimal(0)))
    shipping = max(Decimal(0), line.shipping - sum((x.shipping for x in given), Decimal(0)))
    if amount > goods + shipping:
        before = " that is not refunded yet" if given else ""
        raise Unacceptable(
            f"{amount} {order.currency} is more than the {goods + shipping} that was paid for line {line_id}{before}"
        )
    return RefundLine(line_id, min(amount, goods), amount - min(amount, goods))


def _line(order: Order, line_id: LineId) -> OrderLine:
    line = order.line(line_id)
    if line is None:
        known = ", ".join(x.line_id for x in order.lines)
        raise Unacceptable(f"the order has no line {line_id!r}; its lines are {known}")
    return line
