"""What both sides of the benchmark talk to: a marketplace and a shop of our own contract, as little work per request as possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

SKUS = tuple(f"SKU-{number:03d}" for number in range(50))
STOCK = 1_000_000
SPAN = timedelta(hours=2)
REPLY = tuple[int, bytes, tuple[tuple[str, str], ...]]
QUERY = Mapping[str, Sequence[str]]
JSON = msgspec.json.Encoder()
NO_ORDER = b'{"type":"about:blank","title":"unknown order","status":404,"code":"unknown_order"}'
_PAD = "Sample text that a real order carries and nobody here reads. " * 9


class Sold(msgspec.Struct):
    """An order of the marketplace; `body` is its JSON as it stands."""

    number: int
    order_id: str
    created: datetime
    updated: datetime
    state: str
    parcels: dict[str, Any] = {}
    body: bytes = b""


class Marketplace:
    """The contract's role of a marketplace."""

    def __init__(self, count: int, state: str, now: datetime) -> None:
        self.orders: dict[str, Sold] = {}
        for number in range(count):
            at = (now - SPAN + SPAN * number / max(count, 1)).replace(microsecond=0)
            self._put(Sold(number, f"BENCH-{number:06d}", at, at, state))

    def answer(self, method: str, path: str, query: QUERY, body: bytes, now: datetime) -> REPLY:
        match (method, path.split("/")[2:]):
            case ("GET", ["orders"]):
                return self._list(query)
            case ("PUT", ["orders", order_id, "acceptance"]):
                return self._write(order_id, "ready", now)
            case ("PUT", ["orders", order_id, "shipments", key]):
                if order_id in self.orders:
                    parcel = {**msgspec.json.decode(body), "id": key}
                    self.orders[order_id].parcels = {**self.orders[order_id].parcels, key: parcel}
                return self._write(order_id, "shipped", now)
            case ("PUT", ["stock"]):
                told = msgspec.json.decode(body)["items"]
                return 200, JSON.encode({"items": [{"sku": x["sku"], "error": None} for x in told]}), ()
            case ("GET", []):
                return 200, b'{"contract":"1","name":"Bench"}', ()
            case _:
                return 404, NO_ORDER, ()

    def _list(self, query: QUERY) -> REPLY:
        found = self._found(query)
        start, size = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["100"])[0])
        page = b",".join(order.body for order in found[start : start + size])
        return 200, b'{"orders":[%b],"total":%d}' % (page, len(found)), ()

    def _found(self, query: QUERY) -> list[Sold]:
        if ids := query.get("ids"):
            return [order for x in ids if (order := self.orders.get(x))]
        low, high = _moment(query, "created_from"), _moment(query, "created_to")
        first, last = _moment(query, "updated_from"), _moment(query, "updated_to")
        return [
            order
            for order in self.orders.values()
            if (low is None or order.created >= low)
            and (high is None or order.created <= high)
            and (first is None or order.updated >= first)
            and (last is None or order.updated <= last)
        ]

    def _write(self, order_id: str, state: str, now: datetime) -> REPLY:
        order = self.orders.get(order_id)
        if order is None:
            return 404, NO_ORDER, ()
        order.state = state
        order.updated = now.replace(microsecond=0)
        self._put(order)
        return 200, order.body, ()

    def _put(self, order: Sold) -> None:
        order.body = JSON.encode(_order(order))
        self.orders[order.order_id] = order


class Shop:
    """Orders are kept as they were posted; `ships` gives every order one parcel at once."""

    def __init__(self, *, ships: bool) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self._ships = ships
        self._articles = [
            {"id": str(number), "sku": sku, "available": STOCK, "price": "12.00"}
            for number, sku in enumerate(SKUS, start=1)
        ]

    def answer(self, method: str, path: str, query: QUERY, body: bytes, now: datetime) -> REPLY:
        match (method, path.split("/")[2:]):
            case ("POST", ["orders"]):
                return self._create(msgspec.json.decode(body))
            case ("GET", ["orders", ref]):
                order = self.orders.get(ref)
                return (404, NO_ORDER, ()) if order is None else (200, JSON.encode(order), ())
            case ("GET", ["shipments"]):
                refs = [ref for ref in query.get("refs", ()) if ref in self.orders and self._ships]
                rows = [_parcel(self.orders[ref], now) for ref in refs]
                return 200, JSON.encode({"shipments": rows, "as_of": _stamp(now), "next": None}), ()
            case ("GET", ["articles"]):
                return self._list_articles(query)
            case ("GET", []):
                return 200, b'{"contract":"1","name":"Bench"}', ()
            case _:
                return 404, NO_ORDER, ()

    def _create(self, stated: dict[str, Any]) -> REPLY:
        fresh = stated["ref"] not in self.orders
        if fresh:
            lines = [{key: x[key] for key in ("id", "article", "quantity")} for x in stated["lines"]]
            kept = {key: stated[key] for key in ("ref", "mark", "currency", "total")}
            self.orders[stated["ref"]] = {
                **kept, "id": f"S{len(self.orders) + 1}", "state": "open", "lines": lines,
            }  # fmt: skip
        return (201 if fresh else 200), JSON.encode(self.orders[stated["ref"]]), ()

    def _list_articles(self, query: QUERY) -> REPLY:
        ids, skus = query.get("ids"), query.get("skus")
        found = [
            x
            for x in self._articles
            if not (ids or skus) or x["id"] in (ids or ()) or x["sku"] in (skus or ())
        ]
        return 200, JSON.encode({"articles": found, "next": None}), ()


def _moment(query: QUERY, name: str) -> datetime | None:
    text = query.get(name)
    return None if text is None else datetime.fromisoformat(text[0]).astimezone(UTC)


def _parcel(order: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "id": f"P{order['id']}", "ref": order["ref"], "updated_at": _stamp(now), "voided": False, "carrier": "DHL",
        "tracking_number": f"T{order['id']}", "tracking_url": "", "shipped_at": _stamp(now),
        "lines": [{"id": x["id"], "quantity": x["quantity"]} for x in order["lines"]],
    }  # fmt: skip


def _order(order: Sold) -> dict[str, Any]:
    """About 4 KB, two lines."""
    lines = [_line(order, index) for index in (1, 2)]
    total = sum((Decimal(line["total"]) + Decimal(line["shipping"]) for line in lines), Decimal(0))
    shown = None if order.state == "to_accept" else _address(order)
    return {
        "id": order.order_id, "state": order.state, "created_at": _stamp(order.created),
        "updated_at": _stamp(order.updated), "currency": "EUR", "total": str(total), "prices_include_tax": True,
        "fees": "0", "fulfilled_by": "merchant", "accept_by": None, "ship_by": None,
        "buyer": {"name": "Ada Beispiel", "company": "", "email": f"{order.number}@buyer.example", "phone": ""},
        "ship_to": shown, "bill_to": shown, "shipping_method": "STD", "lines": lines,
        "shipments": list(order.parcels.values()), "channel": {"code": "INIT", "label": _PAD},
    }  # fmt: skip


def _line(order: Sold, index: int) -> dict[str, Any]:
    sku = SKUS[(order.number * 2 + index) % len(SKUS)]
    accepted = None if order.state == "to_accept" else True
    return {
        "id": f"{order.order_id}-{index}", "sku": sku, "title": f"Article {sku}", "quantity": index,
        "accepted": accepted, "cancelled": 0, "shipped": index if order.state == "shipped" else 0, "refunded": 0,
        "total": str(Decimal("12.00") * index), "shipping": "4.90", "taxes": [_tax(str(Decimal("2.00") * index))],
        "shipping_taxes": [_tax("0.82")], "description": _PAD, "category_code": "1", "category_label": "Goods",
    }  # fmt: skip


def _tax(amount: str) -> dict[str, Any]:
    return {"name": "VAT", "amount": amount, "rate": "20", "collected_by": "seller"}


def _address(order: Sold) -> dict[str, Any]:
    return {
        "first_name": "Ada", "last_name": "Beispiel", "company": "", "street1": f"{order.number} Example Street",
        "street2": "", "postcode": f"{10000 + order.number}", "city": "Sampleville", "state": "", "country": "FR",
        "phone": "+33 1 99 00 00 00",
    }  # fmt: skip


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
