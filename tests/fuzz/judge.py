"""What an adapter may do with any document: give a sound result, or say by a decision of ours that it can't. Nothing else."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from marketsync.domain.orders import Order
from marketsync.domain.shipments import Shipment
from marketsync.errors import ConfigError, Fenced, InDoubt, MarketsyncError, Retry, StoreError
from marketsync.ports import Article, OrderPage, RawOrder, StepDone, StockFigure
from tests.fuzz.rig import Read, Side

TEXT_MAX = 20_000
COLUMN_MAX = 2_000  # of a text that is part of a key: PostgreSQL's index rows end at 2,704 bytes
INTEGER_MAX = 2**63


def failures_of(result: object, units_min: int) -> Iterator[str]:
    """What is wrong with a result that an adapter gave. A line of an order is of so many units at least."""
    for value in _values(result):
        if isinstance(value, Order):
            yield from _order(value, units_min)
        elif isinstance(value, Shipment):
            yield from _shipment(value)
        elif isinstance(value, StockFigure | Article):
            if not value.sku.strip() or len(value.sku) > COLUMN_MAX:
                yield f"a {type(value).__name__} whose SKU can be no key"
        elif isinstance(value, MarketsyncError):
            yield from failures_of_error(value, sent=())
        elif isinstance(value, RawOrder):
            value.raw.decode()
        elif isinstance(value, StepDone):
            if "canary" in value.conflict.lower():
                yield "leak: a conflict shows what a buyer said"
        else:
            yield from _plain(value)


def failures_of_error(error: BaseException, sent: Sequence[int]) -> Iterator[str]:
    """What is wrong with an error that escaped: its class, what its text gives away, and whether it denies a write that
    the far side took."""
    if not isinstance(error, MarketsyncError) or isinstance(error, ConfigError | StoreError | Fenced):
        yield "crash: " + "".join(traceback.format_exception(error))[-1500:]
        return
    shown = " ".join(f"{link} {link!r}" for link in _chain(error)) + " ".join(getattr(error, "causes", ()))
    if "canary" in shown.lower():
        yield f"leak: {type(error).__name__} shows what a buyer said"
    if not str(error).strip():
        yield f"{type(error).__name__} without a reason"
    if len(str(error)) > TEXT_MAX:
        yield f"{type(error).__name__} with a text of {len(str(error))} characters"
    yield from _plain(str(error))
    applied = [status for status in sent if 200 <= status < 300 or status >= 500]
    if applied and isinstance(error, Retry) and not isinstance(error, InDoubt):
        yield f"denial: HTTP {applied[0]} to a write was taken as not applied ({type(error).__name__}: {error})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """What a traceback would show."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def failures_of_log(side: Side) -> Iterator[str]:
    if any("canary" in line.lower() for line in side.ear.said):
        yield "leak: the log shows what a buyer said"


def _order(order: Order, units_min: int) -> Iterator[str]:
    if not order.lines:
        yield "an order without lines"
    if not order.key.order_id.strip():
        yield "an order without an id"
    for line in order.lines:
        counts = (line.cancelled, line.refused, line.shipped, line.refunded)
        if line.quantity < units_min or min(counts) < 0 or max(counts) > line.quantity:
            yield "a line with impossible quantities"
    if order.total < 0 or any(line.line_total < 0 for line in order.lines):
        yield "an order with a price below zero"
    if len(order.key.order_id) > COLUMN_MAX or any(len(line.sku) > COLUMN_MAX for line in order.lines):
        yield "an id that can be no key"


def _shipment(parcel: Shipment) -> Iterator[str]:
    if not parcel.lines or any(line.quantity < 1 for line in parcel.lines):
        yield "a parcel of nothing"
    if max((line.quantity for line in parcel.lines), default=0) > 10**6:
        yield "a parcel of more than anything holds"


def _plain(value: object) -> Iterator[str]:
    if isinstance(value, str):
        if "\0" in value:
            yield "a text with a NUL"
        if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            yield "a text with half a character"
        if len(value) > TEXT_MAX:
            yield f"a text of {len(value)} characters"
    elif isinstance(value, Decimal) and not value.is_finite():
        yield "an amount that is not finite"
    elif isinstance(value, int) and not -INTEGER_MAX <= value < INTEGER_MAX:
        yield "a whole number that no column holds"
    elif isinstance(value, datetime) and value.tzinfo is None:
        yield "a naive time"


def _values(node: Any) -> Iterator[Any]:
    """The result and all that is in it."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from _values(item)
        return
    if isinstance(node, Mapping):
        yield from _values(tuple(node.items()))
        return
    yield node
    if isinstance(node, RawOrder):
        return
    if isinstance(node, Read | OrderPage):
        yield from _values(node.orders)
    elif isinstance(node, msgspec.Struct):
        for name in node.__struct_fields__:
            yield from _values(getattr(node, name))
