"""`orders list`, `orders show`: what is held of the marketplaces' orders. Buyers' data is never shown."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from marketsync.commands.connections import known_connection
from marketsync.commands.desk import Desk, UsageError
from marketsync.domain.ids import ConnectionId
from marketsync.domain.orders import phase
from marketsync.store import Unit, orders
from marketsync.store.rows import HeldOrder

LIST_MAX = 1000


class OrderRow(msgspec.Struct, frozen=True):
    """`arrival` numbers orders by arrival: the next page begins before the last one's."""

    ref: str
    connection: str
    order_id: str
    back_office: str
    phase: str
    total: Decimal
    currency: str
    created_at: datetime
    imported_at: datetime
    pushed_at: datetime | None
    open: bool
    external: bool
    arrival: int


class LineRow(msgspec.Struct, frozen=True):
    line_id: str
    sku: str
    title: str
    quantity: int
    line_total: Decimal
    accepted: bool | None
    cancelled: int
    refused: int
    shipped: int
    refunded: int
    returned: int


class OrderView(msgspec.Struct, frozen=True):
    order: OrderRow
    back_office: str
    revision: int
    updated_at: datetime
    read_at: datetime | None
    state_as_stated: str
    fulfilment: str
    accept_by: datetime | None
    ship_by: datetime | None
    lines: tuple[LineRow, ...]


class ListArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connection: str | None = None
    open_only: bool = False
    before_arrival: int | None = None
    limit: int = 50


class OrderArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`order`: our reference, the marketplace's id, or `connection/id`."""

    order: str


async def list_orders(desk: Desk, args: ListArgs) -> tuple[OrderRow, ...]:
    """Newest first."""
    if not 1 <= args.limit <= LIST_MAX:
        raise UsageError(f"a list has 1 to {LIST_MAX} orders")
    connection = None if args.connection is None else ConnectionId(args.connection)

    async def look(unit: Unit) -> list[HeldOrder]:
        if args.connection is not None:
            await known_connection(unit, desk, args.connection, "marketplace")
        return await orders.page(
            unit,
            desk.merchant,
            connection=connection,
            open_only=args.open_only,
            before_arrival=args.before_arrival,
            limit=args.limit,
        )

    return tuple(order_row(held) for held in await desk.core.store.read(look))


async def show_order(desk: Desk, args: OrderArgs) -> OrderView:
    async def look(unit: Unit) -> HeldOrder:
        return await one_order(unit, desk, args.order)

    return order_view(await desk.core.store.read(look))


async def one_order(unit: Unit, desk: Desk, text: str) -> HeldOrder:
    found = [held for held in await orders.find(unit, text) if held.key.merchant == desk.merchant]
    if not found:
        raise UsageError(
            f"no order {text!r} is held: give a reference, the marketplace's id, or connection/id"
        )
    if len(found) > 1:
        names = ", ".join(f"{held.key.connection}/{held.key.order_id}" for held in found)
        raise UsageError(f"{text!r} is several orders: {names}")
    return found[0]


def order_row(held: HeldOrder) -> OrderRow:
    order = held.order
    return OrderRow(
        ref=held.ref,
        connection=held.key.connection,
        order_id=held.key.order_id,
        back_office=held.back_office,
        phase=phase(order).value,
        total=order.total,
        currency=order.currency,
        created_at=order.created_at,
        imported_at=held.imported_at,
        pushed_at=held.pushed_at,
        open=held.open,
        external=held.external,
        arrival=held.arrival_seq,
    )


def order_view(held: HeldOrder) -> OrderView:
    order = held.order
    return OrderView(
        order=order_row(held),
        back_office=held.back_office,
        revision=held.revision,
        updated_at=order.updated_at,
        read_at=held.read_at,
        state_as_stated=order.state_as_stated,
        fulfilment=order.fulfilment.value,
        accept_by=order.accept_by,
        ship_by=order.ship_by,
        lines=tuple(
            LineRow(
                line_id=line.line_id,
                sku=line.sku,
                title=line.title,
                quantity=line.quantity,
                line_total=line.line_total,
                accepted=line.accepted,
                cancelled=line.cancelled,
                refused=line.refused,
                shipped=line.shipped,
                refunded=line.refunded,
                returned=line.returned,
            )
            for line in order.lines
        ),
    )
