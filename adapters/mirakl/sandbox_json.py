"""The simulated marketplace's JSON: every field that the contract requires of an order, a parcel, the platform."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from adapters.mirakl.sandbox_world import CARRIERS, Behaviour, Parcel, SoldLine, SoldOrder, Units
from marketsync.domain.orders import Party

SHIPPING_PRICE = Decimal("4.90")
TAX_RATE = Decimal(20)
_FIRST = ("Ada", "Bruno", "Chloe", "Dmitri", "Elif", "Farid", "Greta", "Hugo")
_LAST = ("Beispiel", "Ejemplo", "Esempio", "Exemple", "Mustermann", "Przyklad", "Sample", "Voorbeeld")
_DISCLOSED = frozenset({"SHIPPING", "SHIPPED", "TO_COLLECT", "RECEIVED", "CLOSED"})
_CENT = Decimal("0.01")


def order_json(order: SoldOrder, tax_mode: str, behaviour: Behaviour) -> dict[str, Any]:
    with_tax = tax_mode == "TAX_INCLUDED"
    lines = [_line(order, line, i, with_tax) for i, line in enumerate(order.lines, 1)]
    price = sum((line["price"] for line in lines), Decimal(0))
    shipping = sum((line["shipping_price"] for line in lines), Decimal(0))
    state = behaviour.unknown_state or order.state
    return {
        "order_id": order.order_id,
        "commercial_id": order.order_id.removesuffix("-A"),
        "order_state": state,
        "order_tax_mode": tax_mode,
        "created_date": stamp(order.created),
        "last_updated_date": stamp(order.updated),
        "acceptance_decision_date": _optional(order.decided_at),
        "customer_debited_date": _optional(order.debited_at),
        "shipping_deadline": _optional(order.debited_at and order.debited_at + timedelta(days=2)),
        "currency_iso_code": "EUR",
        "price": price,
        "shipping_price": shipping,
        "total_price": price + shipping + (Decimal("3.33") if behaviour.bad_totals else Decimal(0)),
        "total_commission": Decimal("2.50"),
        "order_lines": lines,
        "customer": _customer(order, behaviour.buyer),
        "customer_notification_email": behaviour.buyer.email
        if behaviour.buyer
        else f"notification+{order.number}@mirakl.example",
        "fulfillment": {"center": {"code": order.center}},
        "can_cancel": order.state in {"WAITING_ACCEPTANCE", "WAITING_DEBIT"},
        "can_shop_ship": order.state == "SHIPPING",
        "fully_refunded": False,
        "has_customer_message": False,
        "has_incident": False,
        "has_invoice": False,
        "leadtime_to_ship": 2,
        "paymentType": "CARD",
        "payment_type": "CARD",
        "payment_workflow": "PAY_ON_ACCEPTANCE",
        "shipping_type_code": "STD",
        "shipping_type_label": "Standard",
        "shipping_zone_code": "EU",
        "shipping_zone_label": "Europe",
        "shipping_carrier_code": order.carrier_code or None,
        "shipping_company": order.carrier_name or None,
        "shipping_tracking": order.tracking_number or None,
        "shipping_tracking_url": order.tracking_url or None,
    }


def _line(order: SoldOrder, line: SoldLine, index: int, with_tax: bool) -> dict[str, Any]:
    unit, shipping = _stated(line.unit_price, with_tax), _stated(SHIPPING_PRICE, with_tax)
    price = unit * line.quantity
    return {
        "order_line_id": line.line_id,
        "order_line_index": index,
        "order_line_state": line.state,
        "offer_id": 1000 + index,
        "offer_sku": line.sku,
        "offer_state_code": "11",
        "product_sku": f"P-{line.sku}",
        "product_title": f"Article {line.sku}",
        "product_medias": [],
        "category_code": "1",
        "category_label": "Goods",
        "description": "",
        "quantity": line.quantity,
        "price": price,
        "price_unit": unit,
        "shipping_price": shipping,
        "total_price": price + shipping,
        "taxes": [_tax(line.unit_price * line.quantity)],
        "shipping_taxes": [_tax(SHIPPING_PRICE)],
        "commission_fee": Decimal("2.50"),
        "commission_rate_vat": Decimal(0),
        "commission_vat": Decimal(0),
        "total_commission": Decimal("2.50"),
        "created_date": stamp(order.created),
        "last_updated_date": stamp(order.updated),
        "shipped_date": _optional(line.shipped_at),
        "can_refund": line.shipped > 0,
        "cancelations": [_part(part) for part in line.cancelations],
        "refunds": [_refund(part) for part in line.refunds],
        "order_line_additional_fields": [],
    }


def _stated(gross: Decimal, with_tax: bool) -> Decimal:
    return gross if with_tax else gross - _tax_in(gross)


def _tax_in(gross: Decimal) -> Decimal:
    return (gross * TAX_RATE / (100 + TAX_RATE)).quantize(_CENT)


def _tax(gross: Decimal) -> dict[str, Any]:
    return {
        "code": "VAT",
        "amount": _tax_in(gross),
        "rate": TAX_RATE,
        "tax_calculation_rule": "PROPORTIONAL_TO_AMOUNT",
    }


def _part(part: Units) -> dict[str, Any]:
    return {
        "id": part.id,
        "quantity": part.quantity,
        "created_date": stamp(part.at),
        "commission_amount": Decimal(0),
        "commission_taxes": [],
        "commission_total_amount": Decimal(0),
        "reason_code": "15",
    }


def _refund(part: Units) -> dict[str, Any]:
    more = {"order_refund_id": f"R-{part.id}", "refund_state": "REFUNDED", "state": "REFUNDED"}
    return {**_part(part), **more, "commission_tax_amount": Decimal(0)}


def _customer(order: SoldOrder, buyer: Party | None) -> dict[str, Any]:
    first, last = _FIRST[order.number % len(_FIRST)], _LAST[order.number // 3 % len(_LAST)]
    if buyer is not None:
        first, _, last = buyer.name.partition(" ")
    address = None
    if order.state in _DISCLOSED:
        address = {
            "firstname": first,
            "lastname": last,
            "street_1": f"{order.number} Example Street",
            "zip_code": f"{10000 + order.number}",
            "city": "Sampleville",
            "country": "France",
            "country_iso_code": "FRA",
            "phone": buyer.phone if buyer else "+33 1 99 00 00 00",
        }
    return {
        "customer_id": f"C-{order.number}",
        "firstname": first,
        "lastname": last,
        "billing_address": address,
        "shipping_address": address,
    }


def parcel_json(parcel: Parcel) -> dict[str, Any]:
    return {
        "id": parcel.id,
        "order_id": parcel.order_id,
        "created_date": stamp(parcel.at),
        "last_updated_date": stamp(parcel.at),
        "shipped_date": stamp(parcel.at) if parcel.shipped else None,
        "status": "SHIPPED" if parcel.shipped else "SHIPPING",
        "status_customer_debit": "NO_DEBIT",
        "tracking": dict(parcel.tracking),
        "shipment_lines": [
            {"order_line_id": line_id, "quantity": quantity, "package_reference": mark or None}
            for line_id, quantity, mark in parcel.lines
        ],
    }


def platform_json(behaviour: Behaviour) -> dict[str, Any]:
    """The part of PC01 that says how orders are handled here."""
    features = {
        "shipment": {"multi_shipment": behaviour.multi_shipment, "multi_part_item_shipment": False},
        "disable_seller_alternative_carrier": not behaviour.other_carriers,
        "order_tax_mode": "TAX_INCLUDED",
        "order_workflows": {"order_acceptance": "NOT_AUTOMATIC", "pause_debit_workflow": False},
        "tax_collection": {"activated": "NO", "tax_collection_by_operator": False},
        "multi_currency": False,
        "offer_prices_decimals": "2",
        "operator_csv_delimiter": "SEMICOLON",
    }
    return {"platform_name": "Sandbox", "timezone": "Europe/Paris", "features": features}


def carriers_json() -> dict[str, Any]:
    carriers = [
        {
            "code": code,
            "label": label,
            "tracking_url": f"https://{code.lower()}.example/track?n={{trackingId}}",
        }
        for code, label in sorted(CARRIERS.items(), key=lambda pair: pair[1])
    ]
    return {"carriers": carriers}


def stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _optional(moment: datetime | None) -> str | None:
    return stamp(moment) if moment else None
