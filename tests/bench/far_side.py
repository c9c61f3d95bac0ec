"""What both sides of the benchmark talk to: one marketplace and one shop, as little work per request as possible."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

SKUS = tuple(f"SKU-{number:03d}" for number in range(50))
STOCK = 1_000_000
SPAN = timedelta(hours=2)
CARRIERS = (("DHL", "DHL"), ("UPS", "UPS"))
REPLY = tuple[int, bytes, tuple[tuple[str, str], ...]]
JSON = msgspec.json.Encoder(decimal_format="number")
_PAD = "Sample text that a real order carries and nobody here reads. " * 3


class Sold(msgspec.Struct):
    """An order of the marketplace; `body` is its JSON as it stands."""

    number: int
    order_id: str
    created: datetime
    updated: datetime
    state: str
    body: bytes = b""


class Marketplace:
    """OR11, OR21, OR23, OR24, STO01, STO02, PC01 and SH21."""

    def __init__(self, count: int, state: str, now: datetime) -> None:
        self.orders: dict[str, Sold] = {}
        self.imports = 0
        for number in range(count):
            at = (now - SPAN + SPAN * number / max(count, 1)).replace(microsecond=0)
            self._put(Sold(number, f"BENCH-{number:06d}-A", at, at, state))

    def answer(self, method: str, path: str, query: Mapping[str, str], now: datetime) -> REPLY:
        parts = path.split("/")[2:]
        match (method, parts):
            case ("GET", ["orders"]):
                return self._list(query)
            case ("PUT", ["orders", order_id, verb]):
                return self._write(order_id, verb, now)
            case ("POST", ["offers", "stock", "imports"]):
                self.imports += 1
                return 201, JSON.encode({"import_id": str(self.imports)}), ()
            case ("GET", ["offers", "stock", "imports", _, "status"]):
                return 200, JSON.encode({"status": "COMPLETE", "has_error_report": False}), ()
            case ("GET", ["platform", "configuration"]):
                return 200, JSON.encode({"platform_name": "Bench", "timezone": "UTC", "features": {}}), ()
            case ("GET", ["shipping", "carriers"]):
                rows = [{"code": code, "label": label} for code, label in CARRIERS]
                return 200, JSON.encode({"carriers": rows}), ()
            case _:
                return 404, b"{}", ()

    def _list(self, query: Mapping[str, str]) -> REPLY:
        found = self._found(query)
        start, size = int(query.get("offset", "0")), int(query.get("max", "10"))
        page = b",".join(order.body for order in found[start : start + size])
        return 200, b'{"orders":[%b],"total_count":%d}' % (page, len(found)), ()

    def _found(self, query: Mapping[str, str]) -> list[Sold]:
        if ids := query.get("order_ids"):
            return [order for x in ids.split(",") if (order := self.orders.get(x))]
        low, high = _moment(query, "start_date"), _moment(query, "end_date")
        first, last = _moment(query, "start_update_date"), _moment(query, "end_update_date")
        return [
            order
            for order in self.orders.values()
            if (low is None or order.created >= low)
            and (high is None or order.created <= high)
            and (first is None or order.updated >= first)
            and (last is None or order.updated <= last)
        ]

    def _write(self, order_id: str, verb: str, now: datetime) -> REPLY:
        order = self.orders.get(order_id)
        states = {"accept": "SHIPPING", "ship": "SHIPPED"}
        if order is None or verb not in {*states, "tracking"}:
            return 404, b"{}", ()
        order.state = states.get(verb, order.state)
        order.updated = now.replace(microsecond=0)
        self._put(order)
        return 204, b"", ()

    def _put(self, order: Sold) -> None:
        order.body = JSON.encode(_order(order))
        self.orders[order.order_id] = order


class Shop:
    """Orders are kept as they were posted; `ships` gives every released order one parcel at once."""

    def __init__(self, *, ships: bool) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.released = 0
        self._ships = ships
        self._products = [_product(number, sku) for number, sku in enumerate(SKUS, start=1)]

    def answer(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> REPLY:
        if path in {"/wp-json", "/wp-json/"}:
            return 200, b'{"namespaces":["wc/v3"]}', ()
        parts = path.removeprefix("/wp-json/wc/v3/").split("/")
        match (method, parts):
            case ("POST", ["orders"]):
                return self._create(msgspec.json.decode(body))
            case ("GET", ["orders"]):
                return self._list(query)
            case ("GET", ["orders", key]):
                return self._shown(self.orders.get(int(key)))
            case ("PUT", ["orders", key]):
                return self._update(self.orders.get(int(key)), msgspec.json.decode(body))
            case ("GET", ["orders", key, "fulfillments"]):
                return 200, JSON.encode(self._parcels(self.orders.get(int(key)))), ()
            case ("GET", ["products"]):
                return self._list_products(query)
            case ("GET", ["settings", _]):
                return 200, b"[]", ()
            case ("GET", ["taxes", "classes"]):
                return 200, b'[{"slug":"zero-rate"}]', ()
            case _:
                return 404, b'{"code":"rest_no_route"}', ()

    def _create(self, stated: dict[str, Any]) -> REPLY:
        key = len(self.orders) + 1
        items = [{"id": key * 10 + i, **item} for i, item in enumerate(stated.get("line_items", ()))]
        fees = [{"id": key * 10 + 5 + i, **item} for i, item in enumerate(stated.get("fee_lines", ()))]
        ways = [{"id": key * 10 + 9, **item} for item in stated.get("shipping_lines", ())]
        total = sum((Decimal(item["total"]) for item in (*items, *fees, *ways)), Decimal(0))
        order = {
            **stated, "id": key, "line_items": items, "fee_lines": fees, "shipping_lines": ways,
            "total": f"{total:.2f}", "number": str(key), "order_key": f"wc_order_{key}", "version": "10.3.0",
            "created_via": "rest-api", "prices_include_tax": False, "customer_note": "", "refunds": [],
            "cart_tax": "0.00", "total_tax": "0.00", "discount_total": "0.00", "coupon_lines": [],
        }  # fmt: skip
        self.orders[key] = order
        return 201, JSON.encode(order), ()

    def _shown(self, order: dict[str, Any] | None) -> REPLY:
        return (
            (404, b'{"code":"woocommerce_rest_shop_order_invalid_id"}', ())
            if order is None
            else (200, JSON.encode(order), ())
        )

    def _update(self, order: dict[str, Any] | None, stated: dict[str, Any]) -> REPLY:
        if order is None:
            return self._shown(order)
        self.released += order["status"] == "pending" and stated.get("status") == "processing"
        order["status"] = stated.get("status", order["status"])
        return self._shown(order)

    def _list(self, query: Mapping[str, str]) -> REPLY:
        wanted = [int(x) for x in query.get("include", "").split(",") if x]
        found = [self.orders[key] for key in wanted if key in self.orders]
        return 200, JSON.encode(found), (("X-WP-Total", str(len(found))),)

    def _parcels(self, order: dict[str, Any] | None) -> list[dict[str, Any]]:
        if order is None or order["status"] != "processing" or not self._ships:
            return []
        items = [{"item_id": item["id"], "qty": item["quantity"]} for item in order["line_items"]]
        told = {"_items": items, "_tracking_number": f"T{order['id']}", "_shipment_provider": "DHL"}
        rows = [{"key": key, "value": value} for key, value in told.items()]
        return [
            {
                "id": order["id"],
                "is_fulfilled": True,
                "date_updated": "2026-01-01T00:00:00",
                "meta_data": rows,
            }
        ]

    def _list_products(self, query: Mapping[str, str]) -> REPLY:
        found = self._products
        if include := query.get("include"):
            ids = {int(x) for x in include.split(",")}
            found = [x for x in found if x["id"] in ids]
        elif named := query.get("sku"):
            skus = set(named.split(","))
            found = [x for x in found if x["sku"] in skus]
        return 200, JSON.encode(found), (("X-WP-Total", str(len(found))),)


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name)
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _product(number: int, sku: str) -> dict[str, Any]:
    return {
        "id": number, "sku": sku, "type": "simple", "parent_id": 0, "manage_stock": True,
        "stock_quantity": STOCK, "price": "12.00",
    }  # fmt: skip


def _order(order: Sold) -> dict[str, Any]:
    """About 4 KB, two lines, as an operator states it."""
    lines = [_line(order, index) for index in (1, 2)]
    price = sum((line["price"] for line in lines), Decimal(0))
    shipping = sum((line["shipping_price"] for line in lines), Decimal(0))
    decided = None if order.state == "WAITING_ACCEPTANCE" else _stamp(order.created)
    return {
        "order_id": order.order_id, "commercial_id": order.order_id[:-2], "order_state": order.state,
        "order_tax_mode": "TAX_INCLUDED", "created_date": _stamp(order.created),
        "last_updated_date": _stamp(order.updated), "acceptance_decision_date": decided,
        "customer_debited_date": decided, "shipping_deadline": None, "currency_iso_code": "EUR", "price": price,
        "shipping_price": shipping, "total_price": price + shipping, "total_commission": Decimal("2.50"),
        "order_lines": lines, "customer": _customer(order),
        "customer_notification_email": f"notification+{order.number}@mirakl.example",
        "fulfillment": {"center": {"code": "DEFAULT"}}, "can_cancel": False, "can_shop_ship": True,
        "fully_refunded": False, "has_customer_message": False, "has_incident": False, "has_invoice": False,
        "leadtime_to_ship": 2, "paymentType": "CARD", "payment_type": "CARD",
        "payment_workflow": "PAY_ON_ACCEPTANCE", "shipping_type_code": "STD", "shipping_type_label": "Standard",
        "shipping_zone_code": "EU", "shipping_zone_label": "Europe", "order_additional_fields": [],
        "channel": {"code": "INIT", "label": _PAD},
    }  # fmt: skip


def _line(order: Sold, index: int) -> dict[str, Any]:
    sku = SKUS[(order.number * 2 + index) % len(SKUS)]
    price = Decimal("12.00") * index
    return {
        "order_line_id": f"{order.order_id}-{index}", "order_line_index": index, "order_line_state": order.state,
        "offer_id": 1000 + index, "offer_sku": sku, "offer_state_code": "11", "product_sku": f"P-{sku}",
        "product_title": f"Article {sku}", "product_medias": [], "category_code": "1", "category_label": "Goods",
        "description": _PAD, "quantity": index, "price": price, "price_unit": Decimal("12.00"),
        "shipping_price": Decimal("4.90"), "total_price": price + Decimal("4.90"),
        "taxes": [_tax(Decimal("2.00") * index)], "shipping_taxes": [_tax(Decimal("0.82"))],
        "commission_fee": Decimal("1.25"), "commission_rate_vat": 0, "commission_vat": 0,
        "total_commission": Decimal("1.25"), "created_date": _stamp(order.created),
        "last_updated_date": _stamp(order.updated), "can_refund": False, "cancelations": [], "refunds": [],
        "shipped_date": _stamp(order.updated) if order.state == "SHIPPED" else None,
        "order_line_additional_fields": [],
    }  # fmt: skip


def _tax(amount: Decimal) -> dict[str, Any]:
    return {"code": "VAT", "amount": amount, "rate": 20, "tax_calculation_rule": "PROPORTIONAL_TO_AMOUNT"}


def _customer(order: Sold) -> dict[str, Any]:
    address = {
        "firstname": "Ada", "lastname": "Beispiel", "street_1": f"{order.number} Example Street",
        "zip_code": f"{10000 + order.number}", "city": "Sampleville", "country": "France",
        "country_iso_code": "FRA", "phone": "+33 1 99 00 00 00",
    }  # fmt: skip
    shown = None if order.state == "WAITING_ACCEPTANCE" else address
    return {
        "customer_id": f"C-{order.number}", "firstname": "Ada", "lastname": "Beispiel", "locale": "fr_FR",
        "billing_address": shown, "shipping_address": shown,
    }  # fmt: skip


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
