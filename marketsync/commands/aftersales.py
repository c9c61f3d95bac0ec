"""`orders cancel`, `orders refund`: what a person asks of the marketplace. It leaves as a delivery like any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from marketsync.commands.desk import Desk, UsageError
from marketsync.commands.orders import one_order
from marketsync.domain.aftersales import CancelSale, RefundSale, Unacceptable, check_cancel, refund_line
from marketsync.domain.deliveries import Delivery, Kind, State, new_delivery
from marketsync.domain.ids import LineId
from marketsync.engine.context import MarketplaceLink
from marketsync.engine.payloads import decode
from marketsync.ports import RequestWriter
from marketsync.store import Unit, deliveries, history, shipments
from marketsync.store.rows import HeldOrder, HistoryRow

REASON_LENGTH_MAX = 60
ASKED = (Kind.CANCEL_SALE, Kind.REFUND)
ENDED = (State.DONE, State.CANCELLED)
WORDS = {Kind.CANCEL_SALE: "cancel an order", Kind.REFUND: "refund an order"}

_Payload = Callable[[Unit, HeldOrder, str, Sequence[Delivery]], Awaitable[CancelSale | RefundSale]]


class CancelArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`order` as in OrderArgs; all of it where no `lines` are named. `reason` is one of the marketplace's own."""

    order: str
    lines: tuple[str, ...] = ()
    reason: str = ""


class RefundArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order: str
    line: str
    amount: Decimal
    reason: str = ""


class Asked(msgspec.Struct, frozen=True):
    """`delivery` is the number under which `explain` shows what becomes of it."""

    ref: str
    connection: str
    order_id: str
    kind: str
    delivery: int


async def cancel(desk: Desk, args: CancelArgs) -> Asked:
    """Raises UsageError where it can't be cancelled, with the reason."""
    lines = tuple(dict.fromkeys(LineId(line) for line in args.lines))

    async def payload(unit: Unit, held: HeldOrder, key: str, rows: Sequence[Delivery]) -> CancelSale:  # noqa: ARG001 - as `refund`'s
        parcels = await shipments.of_order(unit, desk.merchant, held.ref)
        sent = {x.line_id for parcel in parcels if not parcel.voided for x in parcel.lines}
        check_cancel(held.order, lines, sent)
        return CancelSale(held.key.order_id, lines, _reason(args.reason), held.order.channel)

    return await _ask(desk, args.order, Kind.CANCEL_SALE, payload)


async def refund(desk: Desk, args: RefundArgs) -> Asked:
    """Raises UsageError where that much can't be given back, with the reason."""

    async def payload(unit: Unit, held: HeldOrder, key: str, rows: Sequence[Delivery]) -> RefundSale:  # noqa: ARG001 - as `cancel`'s
        before = [decode(row) for row in rows if row.kind is Kind.REFUND and row.state is State.DONE]
        earlier = [x for x in before if isinstance(x, RefundSale)]
        line = refund_line(held.order, LineId(args.line), args.amount, earlier)
        return RefundSale(
            key, held.key.order_id, held.order.currency, (line,), _reason(args.reason), held.order.channel
        )

    return await _ask(desk, args.order, Kind.REFUND, payload)


async def _ask(desk: Desk, text: str, kind: Kind, payload: _Payload) -> Asked:
    network = desk.need_network("asking a marketplace")

    async def work(unit: Unit) -> Asked:
        held = await one_order(unit, desk, text)
        name = held.key.connection
        writer = _writer(network.marketplaces.get(name), name, kind)
        rows = await deliveries.of_order(unit, desk.merchant, held.ref)
        under_way = next((x for x in rows if x.kind in ASKED and x.state not in ENDED), None)
        if under_way is not None:
            raise UsageError(
                f"{under_way.kind.value} {under_way.id} of this order is under way ({under_way.state.value}): see `explain`"
            )
        number, now = unit.seq(), desk.now()
        subject = f"{held.ref}/{kind.value}/{number}"
        try:
            said = await payload(unit, held, subject, rows)
        except Unacceptable as error:
            raise UsageError(str(error)) from None
        if objection := writer.objection(said):
            raise UsageError(f"{name}: {objection}")
        row = new_delivery(
            delivery_id=number, merchant=desk.merchant, kind=kind, target=name, subject=subject, order_ref=held.ref,
            due_at=now.timestamp(), created_seq=unit.seq(),
        )  # fmt: skip
        await deliveries.insert(unit, [replace(row, payload=msgspec.json.encode(said))])
        history.add(unit, HistoryRow(desk.merchant, held.ref, now, f"{kind.value}.was_asked", _detail(said)))
        return Asked(held.ref, name, held.key.order_id, kind.value, number)

    asked = await desk.core.store.write(work)
    desk.wake_all()
    return asked


def _writer(link: MarketplaceLink | None, name: str, kind: Kind) -> RequestWriter:
    if link is None:
        raise UsageError(f"{name} is not configured any more")
    writer = link.adapter.writers.get(kind)
    if not isinstance(writer, RequestWriter):
        raise UsageError(f"{name}: its adapter has no way to {WORDS[kind]}: do it at the marketplace itself")
    return writer


def _detail(said: CancelSale | RefundSale) -> str:
    if isinstance(said, CancelSale):
        return f"lines {', '.join(said.lines)}" if said.lines else "the whole order"
    sums = [f"{x.amount + x.shipping} {said.currency} for line {x.line_id}" for x in said.lines]
    return ", ".join(sums)


def _reason(text: str) -> str:
    reason = text.strip()
    if len(reason) > REASON_LENGTH_MAX or not reason.isprintable():
        raise UsageError(f"a reason is a code of at most {REASON_LENGTH_MAX} characters")
    return reason
