"""Orders of the simulated marketplace as the contract writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from adapters.rest import wire
from adapters.rest.marketplace.sandbox_world import SHIPPING, TAX_RATE, Behaviour, SoldLine, SoldOrder

CENT = Decimal("0.01")


def order_total(order: SoldOrder) -> Decimal:
    return sum((_line_total(line) + _shipping(line) for line in order.lines), Decimal(0))


def order_json(order: SoldOrder, behaviour: Behaviour) -> dict[str, Any]:
    total = order_total(order) + (Decimal("0.70") if behaviour.bad_totals else 0)
    told = order.state in {"ready", "shipped", "closed"}
    shown = None if order.by_marketplace or not told else _address(order, behaviour)
    return {
        "id": order.order_id, "state": behaviour.unknown_state or order.state, "created_at": _stamp(order.created),
        "updated_at": _stamp(order.updated), "currency": "EUR", "total": str(total), "prices_include_tax": True,
        "fees": "0", "fulfilled_by": "marketplace" if order.by_marketplace else "merchant",
        "accept_by": _stamp(order.created + timedelta(days=2)), "ship_by": None,
        "buyer": _buyer(order, behaviour), "ship_to": shown, "bill_to": shown, "shipping_method": "Standard",
        "lines": [_line(order, line) for line in order.lines],
        "shipments": [parcel_json(key, parcel) for key, parcel in order.parcels.items()],
    }  # fmt: skip


def parcel_json(key: str, parcel: wire.Parcel) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(parcel)
    return {"id": key, **shown}


def _line(order: SoldOrder, line: SoldLine) -> dict[str, Any]:
    return {
        "id": line.line_id, "sku": line.sku, "title": f"Article {line.sku}", "quantity": line.quantity,
        "accepted": line.accepted, "cancelled": line.cancelled, "shipped": order.shipped(line.line_id),
        "refunded": line.refunded, "total": str(_line_total(line)), "shipping": str(_shipping(line)),
        "taxes": [_tax(_line_total(line))], "shipping_taxes": [_tax(_shipping(line))],
    }  # fmt: skip


def _line_total(line: SoldLine) -> Decimal:
    return line.unit_price * line.wanted


def _shipping(line: SoldLine) -> Decimal:
    return SHIPPING if line.wanted else Decimal(0)


def _tax(gross: Decimal) -> dict[str, Any]:
    amount = (gross * TAX_RATE / (100 + TAX_RATE)).quantize(CENT, ROUND_HALF_UP)
    return {"name": "VAT", "amount": str(amount), "rate": str(TAX_RATE), "collected_by": "seller"}


def _buyer(order: SoldOrder, behaviour: Behaviour) -> dict[str, str]:
    buyer = behaviour.buyer
    if buyer is None:
        return {"name": "Ada Beispiel", "company": "", "email": f"{order.number}@buyer.example", "phone": ""}
    return {"name": buyer.name, "company": buyer.company, "email": buyer.email, "phone": buyer.phone}


def _address(order: SoldOrder, behaviour: Behaviour) -> dict[str, str]:
    buyer = _buyer(order, behaviour)
    return {
        "first_name": buyer["name"], "last_name": "", "company": buyer["company"],
        "street1": f"{order.number} Example Street", "street2": "", "postcode": f"{10000 + order.number % 80000}",
        "city": "Sampleville", "state": "", "country": "FR", "phone": buyer["phone"] or "+33 1 99 00 00 00",
    }  # fmt: skip


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
