"""Rows to write, each with one thing that a test changes."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from marketsync.domain.deliveries import Delivery, Kind, State, new_delivery
from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Reference, Sku
from marketsync.domain.orders import Address, Order, OrderLine, Party, Tax
from marketsync.domain.stock import Claim
from marketsync.store.rows import HeldOrder, Private

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
MERCHANT = MerchantId("main")
MARKET = ConnectionId("market")
SHOP = ConnectionId("shop")


def order(number: int = 1, **changes: Any) -> Order:
    line = OrderLine(
        line_id=LineId("1"), sku=Sku(f"SKU-{number}"), quantity=2, line_total=Decimal("19.98"),
        unit_price=Decimal("9.99"), taxes=(Tax("vat", Decimal("3.19"), Decimal(19)),),
    )  # fmt: skip
    made = Order(
        key=OrderKey(MERCHANT, MARKET, OrderId(f"M-{number}")), created_at=NOW, updated_at=NOW, currency="EUR",
        total=Decimal("19.98"), prices_include_tax=True, lines=(line,), paid=True,
    )  # fmt: skip
    return replace(made, **changes)


def held(number: int = 1, **changes: Any) -> HeldOrder:
    made = HeldOrder(
        key=OrderKey(MERCHANT, MARKET, OrderId(f"M-{number}")), ref=ref(number), back_office=SHOP,
        order=order(number, addressed=True), content_hash="hash", read_begin_seq=1, read_end_seq=2,
        arrival_seq=number, revision=1, external=False, open=True, imported_at=NOW,
    )  # fmt: skip
    return replace(made, **changes)


def ref(number: int) -> Reference:
    return Reference(f"ms-abcdef-mark-{number:014d}")


def private(number: int = 1) -> Private:
    place = Address("Ada", f"Example {number}", "Street 1", "Town", "12345", "DE")
    return Private(Party("Ada Example", email="ada@shop.example"), place, None)


def delivery(number: int = 1, **changes: Any) -> Delivery:
    made = new_delivery(
        delivery_id=number, merchant=MERCHANT, kind=Kind.CREATE, target=SHOP, subject=ref(number), order_ref=ref(number),
        due_at=100.0, created_seq=number,
    )  # fmt: skip
    return replace(made, **changes)


def sent(row: Delivery, **changes: Any) -> Delivery:
    made = replace(
        row, state=State.SENT, attempt=row.attempt + 1, sent=row.wanted, payload=b'{"frozen":1}', payload_hash="h1",
        send_by=1010.0, sent_seq=50, first_departure_at=100.0, last_departure_at=100.0, second_probe_at=90000.0,
    )  # fmt: skip
    return replace(made, **changes)


def done(row: Delivery, **changes: Any) -> Delivery:
    made = replace(row, state=State.DONE, done=row.sent, done_seq=60, payload=b"", unsettled=False)
    return replace(made, **changes)


def in_doubt(row: Delivery) -> Delivery:
    return replace(
        row,
        state=State.IN_DOUBT,
        unsettled=True,
        doubt_boot="boot-1",
        doubt_since=5.0,
        doubt_wait_seconds=60.0,
    )


def claim(number: int = 1, **changes: Any) -> Claim:
    made = Claim(
        merchant=MERCHANT, order_ref=ref(number), line_id="1", sku="SKU-1", location="pool", connection=MARKET,
        arrival_seq=number, target=2,
    )  # fmt: skip
    return replace(made, **changes)
