"""What people and the core bring to an adapter: orders that may be shipped, orders for a shop, parcels."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

from msgspec.structs import replace

from marketsync.domain.aftersales import CancelSale, RefundLine, RefundSale
from marketsync.domain.deliveries import Kind, State
from marketsync.domain.ids import (
    DEFAULT_MERCHANT,
    ConnectionId,
    LineId,
    OrderId,
    OrderKey,
    Reference,
    RemoteId,
    Sku,
    reference,
)
from marketsync.domain.orders import Address, Order, OrderLine, Party, Phase, Tax, TaxCollector, phase
from marketsync.domain.shipments import Shipment, ShippedLine
from marketsync.kit.bench import START, Bench
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.registry import CannotShow
from marketsync.ports import (
    AcceptLine,
    AcceptOrder,
    Article,
    CancelOrder,
    ConfirmShipment,
    CreateOrder,
    OpenOrder,
    RequestWriter,
    ResolvedLine,
    UpdateOrder,
)

T = TypeVar("T")

INSTALLATION = "kit"
WAITS_MAX = 60
WAIT_SECONDS = 60.0
BUYER = Party("Quill Canary", email="q.canary@buyer.example", phone="+33 1 99 00 77 66")
HOME = Address("Quill", "Canary", "7 Canary Row", "Paris", "75001", "FR", phone="+33 1 99 00 77 66")


def yes_to(order: Order, *refused: str) -> AcceptOrder:
    lines = tuple(AcceptLine(line.line_id, line.line_id not in refused) for line in order.lines)
    return AcceptOrder(order.key.order_id, lines)


async def ready_order(bench: Bench, *lines: tuple[str, int]) -> Order:
    """A new order that we have accepted, where that is asked for, and that may be shipped."""
    order_id = bench.place(*lines)
    for _ in range(WAITS_MAX):
        order = await bench.read(order_id)
        match phase(order):
            case Phase.READY:
                return order
            case Phase.TO_ACCEPT:
                payload = yes_to(order)
                drive = Drive(Scene(bench, Kind.ACCEPT, payload, lambda: None))
                row = await drive.to_end(watched=False)
                if row.state is not State.DONE:
                    raise CannotShow(f"a new order can't be accepted: {row.state.value}")
            case _:
                await bench.wait(WAIT_SECONDS)
    raise CannotShow("a new order never comes to where it may be shipped")


def parcel_of(
    bench: Bench, order: Order, mark: str = "p1", *, units: Sequence[int] | None = None, tracking: str = "KIT1Z0001",
    carrier: str | None = None, last: bool = True,
) -> ConfirmShipment:  # fmt: skip
    """One parcel of an order; `units` by line, all of them if not said."""
    counts = units if units is not None else [line.wanted for line in order.lines]
    lines = tuple(
        ShippedLine(line.line_id, count) for line, count in zip(order.lines, counts, strict=True) if count
    )
    shipment = Shipment(
        ref=reference(INSTALLATION, order.key), shipment_id=RemoteId(mark), lines=lines, carrier="as the shop says",
        tracking_number=tracking, tracking_url=f"https://track.example/{tracking}", shipped_at=bench.now,
    )  # fmt: skip
    named = bench.quality.kit.setup.carrier if carrier is None else carrier
    return ConfirmShipment(order.key.order_id, shipment, named, completes_order=last, channel=order.channel)


async def shipped_order(bench: Bench, *lines: tuple[str, int]) -> Order:
    """Told in one parcel, and read as shipped: money for it may be given back."""
    order = await ready_order(bench, *lines)
    await ship_at_once(bench, order)
    return await bench.read(order.key.order_id)


async def ship_at_once(bench: Bench, order: Order) -> None:
    drive = Drive(Scene(bench, Kind.CONFIRM, parcel_of(bench, order), lambda: None))
    row = await drive.to_end(watched=False)
    if row.state is not State.DONE:
        raise CannotShow(f"an order can't be shipped without trouble: {row.state.value} ({row.error})")
    await bench.wait(drive.steps[-1].visible_within_seconds)


def to_cancel_sale(bench: Bench, order: Order) -> CancelSale:
    reason = bench.after_sales.reason(Kind.CANCEL_SALE.value)
    return _asked(bench, Kind.CANCEL_SALE, CancelSale(order.key.order_id, (), reason, order.channel))


def to_refund(bench: Bench, order: Order, amount: Decimal, key: str = "kit/refund/1") -> RefundSale:
    """Money for the first line, of whatever sum: goods first, as a person's wish comes to an adapter."""
    line = order.lines[0]
    part = RefundLine(line.line_id, min(amount, line.line_total), max(Decimal(0), amount - line.line_total))
    reason = bench.after_sales.reason(Kind.REFUND.value)
    payload = RefundSale(key, order.key.order_id, order.currency, (part,), reason, order.channel)
    return _asked(bench, Kind.REFUND, payload)


def _asked(bench: Bench, kind: Kind, payload: T) -> T:
    """What the writer objects to, nobody may ask for."""
    writer = bench.adapter.writers[kind]
    if not isinstance(writer, RequestWriter):
        raise CannotShow(f"the writer of {kind.value} has no `objection`")
    if said := writer.objection(payload):
        raise CannotShow(f"the adapter objects to what is to be shown: {said}")
    return payload


# For a shop


def line(line_id: str, sku: str, quantity: int, total: str, tax: str = "0", **changes: Any) -> OrderLine:
    collector = changes.pop("collector", TaxCollector.SELLER)
    taxes = (Tax("VAT", Decimal(tax), collector=collector),) if Decimal(tax) else ()
    made = OrderLine(LineId(line_id), Sku(sku), quantity, Decimal(total), taxes=taxes)
    return replace(made, **changes)


def an_order(*lines: OrderLine, order_id: str = "KIT-ORDER-1", **changes: Any) -> Order:
    """As a marketplace would state it: it balances, and its buyer is a canary."""
    lines = lines or (line("1", "KIT-A", 2, "20.00", "3.33"), line("2", "KIT-B", 1, "5.90", "0.98"))
    total = sum((x.line_total + x.shipping for x in lines), changes.get("fees", Decimal(0)))
    order = Order(
        key=OrderKey(DEFAULT_MERCHANT, ConnectionId("market"), OrderId(order_id)), created_at=START, updated_at=START,
        currency="EUR", total=total, prices_include_tax=True, lines=lines, paid=True, addressed=True, buyer=BUYER,
        ship_to=HOME,
    )  # fmt: skip
    return replace(order, **changes)


def ref_of(order: Order, installation: str = INSTALLATION) -> Reference:
    return reference(installation, order.key)


async def resolved(bench: Bench, order: Order) -> tuple[ResolvedLine, ...]:
    articles = await articles_of(bench, [x.sku for x in order.lines])
    return tuple(ResolvedLine(x.line_id, x.sku, articles[x.sku].remote_id) for x in order.lines)


async def articles_of(bench: Bench, skus: Sequence[Sku]) -> dict[Sku, Article]:
    found = dict(await bench.patient(lambda: bench.shop.resolve_skus(skus)))
    if missing := [sku for sku in skus if sku not in found]:
        raise CannotShow(f"the shop has {missing[0]}, and it is not resolved")
    return found


async def to_create(
    bench: Bench, order: Order | None = None, installation: str = INSTALLATION
) -> CreateOrder:
    order = order or an_order()
    return CreateOrder(ref_of(order, installation), order, await resolved(bench, order))


async def created(bench: Bench, order: Order | None = None, *, steps: int | None = None) -> CreateOrder:
    """An order in the shop, released unless only so many `steps` are to be done."""
    payload = await to_create(bench, order)
    drive = Drive(Scene(bench, Kind.CREATE, payload, lambda: None))
    if steps is None:
        await drive.to_end(watched=False)
        ended = drive.row.state is State.DONE
    else:
        await drive.part(steps)
        ended = drive.row.step == steps
    if not ended:
        raise CannotShow(
            f"an order can't be created without trouble: {drive.row.state.value} ({drive.row.error})"
        )
    return payload


async def to_update(bench: Bench, order: Order) -> UpdateOrder:
    ref = ref_of(order)
    return UpdateOrder(ref, remote_id_of(bench, ref), order, await resolved(bench, order))


def to_cancel(bench: Bench, order: Order) -> CancelOrder:
    return CancelOrder(ref_of(order), remote_id_of(bench, ref_of(order)), order.key.order_id)


def remote_id_of(bench: Bench, ref: str) -> RemoteId:
    (held,) = bench.held(ref)
    return RemoteId(held.remote_id)


def open_order(bench: Bench, order: Order) -> OpenOrder:
    return OpenOrder(ref_of(order), remote_id_of(bench, ref_of(order)), order)
