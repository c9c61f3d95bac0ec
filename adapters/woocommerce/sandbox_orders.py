"""Orders of the simulated shop over REST: what is read, refused and silently accepted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.woocommerce.sandbox_shop import (
    STATUSES,
    Fulfillment,
    Item,
    Meta,
    Order,
    Truth,
    WooShop,
    rounded,
)

Json = dict[str, Any]
KINDS = {"line_items": "line", "shipping_lines": "shipping", "fee_lines": "fee"}
_NULLED = {"line": "product_id", "shipping": "method_title", "fee": "name"}
_TEXTS = ("transaction_id", "payment_method", "payment_method_title", "currency")


class RestError(Exception):
    """An answer of WordPress's REST server with its code."""

    def __init__(self, status: int, code: str, *params: str) -> None:
        super().__init__(code)
        self.status = status
        self.body: Json = {"code": code, "message": code.replace("_", " "), "data": {"status": status}}
        if params:
            self.body["data"]["params"] = {name: f"{name} is not valid." for name in params}


def create(shop: WooShop, body: Json, now: datetime) -> Order:
    if body.get("id"):
        raise RestError(400, "woocommerce_rest_shop_order_exists")
    _validate(body)
    order = Order(id=shop.next_id(), created=now, modified=now)
    order.customer_id = int(body.get("customer_id", 0))
    _apply(shop, order, body, now)
    shop.orders[order.id] = order
    shop.log.append(Truth(now, "order_created", order.id))
    status = body.get("status", "pending")
    if body.get("set_paid"):
        status = "processing" if any(item.product_id for item in order.of_kind("line")) else "completed"
    shop.set_status(order.id, status, now)
    return order


def update(shop: WooShop, order: Order, body: Json, now: datetime) -> Order:
    """Edits of lines alone do not move the stamp."""
    _validate(body)
    _apply(shop, order, body, now)
    if set(body) - {"line_items"}:
        order.modified = now
    if "status" in body:
        shop.set_status(order.id, body["status"], now)
    return order


def batch(shop: WooShop, body: Json, now: datetime) -> Json:
    """One 200 for all; each item says for itself what became of it."""
    answer: Json = {"create": [], "update": []}
    for entry in body.get("create", []):
        answer["create"].append(
            _settled(lambda entry=entry: render(shop, create(shop, entry, now), timedelta(0)))
        )
    for entry in body.get("update", []):
        answer["update"].append(
            _settled(
                lambda entry=entry: render(
                    shop, update(shop, find(shop, entry["id"]), entry, now), timedelta(0)
                )
            )
        )
    return answer


def find(shop: WooShop, order_id: int) -> Order:
    if order_id not in shop.orders:
        raise RestError(404, "woocommerce_rest_shop_order_invalid_id")
    return shop.orders[order_id]


def select(shop: WooShop, query: Mapping[str, str], offset: timedelta, until: datetime) -> list[Order]:
    """What is asked for by a parameter that is not known here is not asked for at all: all orders come.
    What was created after `until` is not in the list yet."""
    statuses = query.get("status", "any").split(",")
    rows = [
        x
        for x in shop.orders.values()
        if x.created <= until and (x.status in statuses or ("any" in statuses and x.status != "trash"))
    ]
    gmt = query.get("dates_are_gmt", "false") in ("true", "1")
    for name, moved, later in (
        ("after", False, True), ("before", False, False), ("modified_after", True, True), ("modified_before", True, False),
    ):  # fmt: skip
        if name in query:
            bound = _stamp(query[name], timedelta(0) if gmt else offset, name)
            rows = [x for x in rows if _beyond(x.modified if moved else x.created, bound, later=later)]
    if "include" in query:
        ids = [int(x) for x in query["include"].split(",") if x.strip().isdigit()]
        rows = [x for x in rows if x.id in ids]
    if "created_via" in query:
        rows = [x for x in rows if x.created_via in query["created_via"].split(",")]
    if "search" in query:
        rows = [x for x in rows if _searchable(x, query["search"].lower())]
    key = {"id": lambda x: x.id, "modified": lambda x: (x.modified, x.id)}.get(
        query.get("orderby", "date"), lambda x: (x.created, x.id)
    )
    return sorted(rows, key=key, reverse=query.get("order", "desc") == "desc")


def render(shop: WooShop, order: Order, offset: timedelta) -> Json:
    shown: Json = {
        "id": order.id, "number": str(order.id), "status": order.status, "currency": order.currency,
        "prices_include_tax": False, "customer_id": order.customer_id, "created_via": order.created_via,
        "transaction_id": order.transaction_id, "payment_method": order.payment_method,
        "payment_method_title": order.payment_method_title, "billing": order.billing, "shipping": order.shipping,
        "total": str(rounded(order.total)), "total_tax": str(sum((x.tax for x in order.items), Decimal("0.00"))),
        "shipping_total": str(sum((x.total for x in order.of_kind("shipping")), Decimal("0.00"))),
        "meta_data": _metas(order.meta),
    }  # fmt: skip
    for name, stamp in (
        ("created", order.created),
        ("modified", order.modified),
        ("completed", order.completed),
    ):
        shown[f"date_{name}"] = _text(stamp + offset) if stamp else None
        shown[f"date_{name}_gmt"] = _text(stamp) if stamp else None
    shown["line_items"] = [_line(shop, item) for item in order.of_kind("line")]
    shown["shipping_lines"] = [
        _extra(item) | {"method_id": item.method_id, "method_title": item.name}
        for item in order.of_kind("shipping")
    ]
    shown["fee_lines"] = [
        _extra(item) | {"name": item.name, "tax_status": item.tax_status} for item in order.of_kind("fee")
    ]
    return shown


def add_fulfillment(shop: WooShop, order: Order, body: Json, now: datetime) -> Json:
    """`is_fulfilled` is a boolean in this answer only; the order's stamp stays."""
    entries = {str(entry["key"]): entry["value"] for entry in body.get("meta_data", [])}
    parcel = Fulfillment(
        id=shop.next_id(), is_fulfilled=bool(body.get("is_fulfilled")), updated=now, meta=shop.metas(entries)
    )
    order.fulfillments.append(parcel)
    if parcel.is_fulfilled:
        shop.log.append(Truth(now, "shipped", order.id))
    return fulfillment(order, parcel) | {"is_fulfilled": parcel.is_fulfilled}


def fulfillment(order: Order, parcel: Fulfillment) -> Json:
    return {
        "id": parcel.id,
        "entity_id": str(order.id),
        "status": "fulfilled" if parcel.is_fulfilled else "unfulfilled",
        "is_fulfilled": "1" if parcel.is_fulfilled else "0",
        "date_updated": _text(parcel.updated).replace("T", " "),
        "date_deleted": _text(parcel.deleted).replace("T", " ") if parcel.deleted else None,
        "meta_data": _metas(parcel.meta),
    }


def _validate(body: Json) -> None:
    if body.get("status", "pending") not in STATUSES:
        raise RestError(400, "rest_invalid_param", "status")
    lines = body.get("line_items", [])
    if not isinstance(lines, list) or any(not isinstance(line.get("quantity", 1), int) for line in lines):
        raise RestError(400, "rest_invalid_param", "line_items")
    email = body.get("billing", {}).get("email")
    if email is not None and "@" not in email:
        raise RestError(400, "rest_invalid_param", "billing")


def _apply(shop: WooShop, order: Order, body: Json, now: datetime) -> None:
    for name in _TEXTS:
        if name in body:
            setattr(order, name, str(body[name]))
    for name in ("billing", "shipping"):
        if name in body:
            setattr(order, name, {**getattr(order, name), **body[name]})
    for entry in body.get("meta_data", []):
        held = next((x for x in order.meta if x.key == entry["key"]), None)
        if held is None:
            order.meta.append(Meta(shop.next_id(), entry["key"], entry["value"]))
        else:
            held.value = entry["value"]
    for name, kind in KINDS.items():
        for entry in body.get(name, []):
            _apply_item(shop, order, kind, entry, now)
    shop.recalculate(order)


def _apply_item(shop: WooShop, order: Order, kind: str, entry: Json, now: datetime) -> None:
    item = next((x for x in order.items if x.id == entry.get("id") and x.kind == kind), None)
    if "id" in entry and item is None:
        raise RestError(400, "woocommerce_rest_invalid_item_id")
    if item is not None and (entry.get("quantity") == 0 or entry.get(_NULLED[kind], "") is None):
        shop.follow_edit(order, item, now, 0)
        order.items.remove(item)
        return
    if item is None:
        item = Item(id=shop.next_id(), kind=kind)
        order.items.append(item)
        _set_product(shop, item, entry)
    elif "quantity" in entry:
        # A line that is added later takes nothing; one that is edited does.
        shop.follow_edit(order, item, now, entry["quantity"])
    _set_fields(shop, item, entry)


def _set_product(shop: WooShop, item: Item, entry: Json) -> None:
    """The SKU wins over the ids, and an unknown one is no error: the line has no product and costs nothing."""
    if item.kind != "line":
        return
    if "sku" in entry:
        product = next((x for x in shop.products.values() if x.sku == entry["sku"]), None)
    else:
        product = shop.products.get(entry.get("variation_id") or entry.get("product_id", 0))
    if product is None:
        return
    ids = (product.parent_id, product.id) if product.parent_id else (product.id, 0)
    item.product_id, item.variation_id, item.name = *ids, product.name
    item.subtotal = item.total = rounded(product.price * entry.get("quantity", 1))


def _set_fields(shop: WooShop, item: Item, entry: Json) -> None:
    item.name = entry.get("name") or entry.get("method_title") or item.name
    item.quantity = entry.get("quantity", item.quantity)
    item.tax_class = entry.get("tax_class", item.tax_class)
    item.tax_status = entry.get("tax_status", item.tax_status)
    item.method_id = entry.get("method_id", item.method_id)
    for name in ("subtotal", "total"):
        if name in entry and (item.kind != "line" or item.product_id or name == "subtotal"):
            setattr(item, name, _money(entry[name], item.kind))
    item.meta += shop.metas({str(x["key"]): x["value"] for x in entry.get("meta_data", [])})


def _money(text: object, kind: str) -> Decimal:
    try:
        return rounded(Decimal(str(text)))
    except InvalidOperation:
        raise RestError(400, "rest_invalid_param", f"{kind}_lines") from None


def _settled(write: Any) -> Json:
    try:
        rendered: Json = write()
    except RestError as error:
        return {"id": 0, "error": error.body}
    return rendered


def _stamp(text: str, offset: timedelta, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) - offset
    except ValueError:
        raise RestError(400, "rest_invalid_param", name) from None


def _beyond(stamp: datetime, bound: datetime, *, later: bool) -> bool:
    """Strictly, in whole seconds."""
    whole = stamp.replace(microsecond=0)
    return whole > bound if later else whole < bound


def _searchable(order: Order, wanted: str) -> bool:
    texts = [
        str(order.id),
        *order.billing.values(),
        *order.shipping.values(),
        *(x.name for x in order.of_kind("line")),
    ]
    return any(wanted in text.lower() for text in texts)


def _text(stamp: datetime) -> str:
    return stamp.strftime("%Y-%m-%dT%H:%M:%S")


def _metas(entries: list[Meta]) -> list[Json]:
    return [{"id": entry.id, "key": entry.key, "value": entry.value} for entry in entries]


def _line(shop: WooShop, item: Item) -> Json:
    product = shop.products.get(item.variation_id or item.product_id)
    reduced = [{"id": 0, "key": "_reduced_stock", "value": str(item.reduced)}] if item.reduced else []
    return {
        "id": item.id, "name": item.name, "product_id": item.product_id, "variation_id": item.variation_id,
        "quantity": item.quantity, "tax_class": item.tax_class, "subtotal": str(rounded(item.subtotal)),
        "total": str(rounded(item.total)), "total_tax": str(item.tax), "sku": product.sku if product else None,
        "price": float(item.total / item.quantity) if item.quantity else 0, "meta_data": _metas(item.meta) + reduced,
    }  # fmt: skip


def _extra(item: Item) -> Json:
    total = str(rounded(item.total))
    return {
        "id": item.id,
        "tax_class": item.tax_class,
        "total": total,
        "total_tax": str(item.tax),
        "meta_data": [],
    }
