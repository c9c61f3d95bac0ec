"""The simulated Amazon's flat files: sales cancelled, money given back, and the report in text that says of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

from msgspec.structs import replace

from adapters.amazon.flat_files import (
    CANCEL_COLUMNS,
    CANCEL_FEED,
    CANCEL_REASONS,
    CANCEL_TEMPLATE,
    REFUND_COLUMNS,
    REFUND_FEED,
    REFUND_REASONS,
)
from adapters.amazon.sandbox_json import SHIPPING
from adapters.amazon.sandbox_world import SoldLine, SoldOrder, World
from adapters.amazon.stores import STORES

FLAT_FEEDS = (CANCEL_FEED, REFUND_FEED)
NO_ORDER, NO_REASON, TOO_LATE, NOT_YET, NO_SUM, TOO_MUCH = (
    "18001",
    "18002",
    "18028",
    "18030",
    "18040",
    "18041",
)

Row = Mapping[str, str]


def rows_of(kind: str, content_type: str, body: bytes) -> tuple[Row, ...] | None:
    """By column; None where it is no such file at all."""
    heads = (
        [CANCEL_TEMPLATE, "\t".join(CANCEL_COLUMNS)] if kind == CANCEL_FEED else ["\t".join(REFUND_COLUMNS)]
    )
    columns = CANCEL_COLUMNS if kind == CANCEL_FEED else REFUND_COLUMNS
    try:
        lines = body.decode().split("\r\n")
    except UnicodeDecodeError:
        return None
    cells = [line.split("\t") for line in lines[len(heads) : -1]]
    whole = lines[: len(heads)] == heads and lines[-1] == "" and "tab-separated" in content_type
    if not whole or not cells or any(len(row) != len(columns) for row in cells):
        return None
    return tuple(dict(zip(columns, row, strict=True)) for row in cells)


def carried_out(world: World, kind: str, rows: Sequence[Row], at: datetime) -> bytes:
    """The report."""
    judge = _cancel if kind == CANCEL_FEED else _refund
    errors = [(number, code) for number, row in enumerate(rows, 1) if (code := judge(world, row, at))]
    lines = [
        "Feed Processing Summary:",
        f"\tNumber of records processed\t\t{len(rows)}",
        f"\tNumber of records successful\t\t{len(rows) - len(errors)}",
        "",
    ]
    if errors:
        lines.append("original-record-number\torder-id\terror-code\terror-type\terror-message")
        lines += [
            f"{number}\t{rows[number - 1]['order-id']}\t{code}\tError\tAda Beispiel's order can not be changed."
            for number, code in errors
        ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _cancel(world: World, row: Row, at: datetime) -> str:
    order, item = world.orders.get(row["order-id"]), row["amazon-order-item-code"]
    if order is None or (item and _line(order, item) is None):
        return NO_ORDER
    if row["cancellation-reason-code"] not in CANCEL_REASONS:
        return NO_REASON
    if order.state != "UNSHIPPED" or order.by_amazon:
        return TOO_LATE
    if item:
        return _cancel_item(world, order, item, at)
    return "" if world.cancel(order, at, "cancelled_by_seller") else TOO_LATE


def _cancel_item(world: World, order: SoldOrder, item: str, at: datetime) -> str:
    line = _line(order, item)
    if line is None or order.shipped(item) or line.cancelled == line.quantity:
        return TOO_LATE
    lines = tuple(replace(x, cancelled=x.quantity) if x is line else x for x in order.lines)
    if all(x.cancelled == x.quantity for x in lines):
        return "" if world.cancel(order, at, "cancelled_by_seller") else TOO_LATE
    world.record(at, "item_cancelled", order.order_id, item)
    world.put(replace(order, lines=lines), at)
    return ""


def _refund(world: World, row: Row, at: datetime) -> str:
    order = world.orders.get(row["order-id"])
    line = None if order is None else _line(order, row["order-item-id"])
    if order is None or line is None:
        return NO_ORDER
    if row["adjustment-reason-code"] not in REFUND_REASONS:
        return NO_REASON
    if order.state != "SHIPPED" and not order.shipped(line.item_id):
        return NOT_YET
    try:
        goods, shipping = (_sum(row[name]) for name in ("item-price-adj", "shipping-price-adj"))
    except InvalidOperation:
        return NO_SUM
    if (
        row["currency"] != STORES[order.marketplace_id].currency
        or min(goods, shipping) < 0
        or not goods + shipping
    ):
        return NO_SUM
    given = world.refunded.get((order.order_id, line.item_id), (Decimal(0), Decimal(0)))
    goods, shipping = goods + given[0], shipping + given[1]
    paid = SHIPPING if line is order.lines[0] else Decimal(0)
    if goods > line.unit_price * (line.quantity - line.cancelled) or shipping > paid:
        return TOO_MUCH
    world.refunded[order.order_id, line.item_id] = (goods, shipping)
    world.record(at, "refunded", order.order_id, f"{row['item-price-adj']}+{row['shipping-price-adj']}")
    return ""


def _sum(text: str) -> Decimal:
    return Decimal(text) if text else Decimal(0)


def _line(order: SoldOrder, item: str) -> SoldLine | None:
    return next((line for line in order.lines if line.item_id == item), None)
