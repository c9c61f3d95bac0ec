"""A simulated WooCommerce shop: pure, stateful, and wrong in the ways in which real ones were seen to be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import msgspec

from adapters.woocommerce import sandbox_orders as orders
from adapters.woocommerce.sandbox_orders import Json, RestError
from adapters.woocommerce.sandbox_shop import Product, WooShop
from marketsync.http.auth import base_string
from marketsync.ports import Request, Response

NONCE_SECONDS = 15 * 60
_Routed = tuple[int, Any, dict[str, str]]
_Call = Callable[[list[int], Mapping[str, str], Json, datetime], Any]
PHP_NOTICE = b"<br />\n<b>Notice</b>:  Undefined index: vat in <b>functions.php</b> on line <b>12</b><br />\n"


class Faults(msgspec.Struct):
    """How many of the next requests meet a fault; `waf_blocks` is looked for in bodies."""

    notices: int = 0
    maintenance: int = 0
    waf: int = 0
    waf_blocks: bytes = b""
    plain_permalinks: bool = False


class _Listed(msgspec.Struct, frozen=True):
    """A list that goes out in pages: rendered only if they are on the page."""

    rows: list[Any]
    shown: Callable[[Any], Json]


class WooSandbox:
    """`key` and `secret` are the API key; `rights` is "read" or "read_write". `clock_skew` is the shop's clock less ours.

    `utc_offset` is the site's time zone. Lists of orders come from a copy that is `list_lag` old. The shop's people act through `shop`.
    """

    def __init__(
        self, shop: WooShop | None = None, *, key: str = "ck_demo", secret: str = "cs_demo", rights: str = "read_write",  # noqa: S107 - of an invented shop
        utc_offset: timedelta = timedelta(hours=-5), clock_skew: timedelta = timedelta(0),
        list_lag: timedelta = timedelta(0),
    ) -> None:  # fmt: skip
        self.shop = shop or WooShop()
        self.faults = Faults()
        self._key, self._secret, self._rights = key, secret, rights
        self.utc_offset, self.clock_skew = utc_offset, clock_skew
        self._list_lag = list_lag
        self._nonces: dict[str, float] = {}

    def handle(self, request: Request, now: datetime) -> Response:
        """One exchange at `now` of the world's clock; `received_at` is its time in unix seconds."""
        now = (now + self.clock_skew).replace(microsecond=0)
        status, headers, body = self._answer(request, now)
        if self.faults.notices and 200 <= status < 300:
            self.faults.notices -= 1
            body = PHP_NOTICE + body
        shown = {
            "content-type": "application/json; charset=UTF-8",
            "date": format_datetime(now, usegmt=True),
            **headers,
        }
        return Response(status, shown, body, now.timestamp())

    def _answer(self, request: Request, now: datetime) -> tuple[int, dict[str, str], bytes]:
        html = {"content-type": "text/html; charset=UTF-8"}
        if self.faults.maintenance:
            self.faults.maintenance -= 1
            return 503, html, b"<!DOCTYPE html><title>Maintenance</title>Briefly unavailable for maintenance."
        if self.faults.waf or (self.faults.waf_blocks and self.faults.waf_blocks in request.body):
            self.faults.waf = max(0, self.faults.waf - 1)
            return 403, html, b"<html><h1>403 Forbidden</h1>Request blocked.</html>"
        parts = urlsplit(request.url)
        _, found, path = parts.path.partition("/wp-json")
        if not found or self.faults.plain_permalinks:
            return 404, html, b"<!DOCTYPE html><title>Page not found</title>"
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        try:
            status, answer, headers = self._route(request, path, query, now)
        except RestError as error:
            return error.status, {}, msgspec.json.encode(error.body)
        return status, headers, msgspec.json.encode(_only(answer, query.get("_fields", "")))

    def _route(self, request: Request, path: str, query: Mapping[str, str], now: datetime) -> _Routed:
        if path in ("", "/"):
            namespaces = ["wp/v2", "wc/v3"] + (
                ["wc-shipment-tracking/v3"] if self.shop.tracking_enabled else []
            )
            return 200, {"name": "Shop", "namespaces": namespaces}, {}
        for method, pattern, call in self._routes():
            match = pattern.fullmatch(path)
            if match and method == request.method:
                self._authorise(request, query, now)
                body = _json(request.body) if method in ("POST", "PUT") else {}
                arguments = [int(x) for x in match.groups()]
                result = call(arguments, query, body, now)
                if isinstance(result, _Listed):
                    return self._paged(request, result, query)
                return (201 if method == "POST" and not path.endswith("batch") else 200), result, {}
        raise RestError(404, "rest_no_route")

    def _routes(self) -> list[tuple[str, re.Pattern[str], _Call]]:
        shop, at, lag = self.shop, self.utc_offset, self._list_lag
        table: list[tuple[str, str, _Call]] = [
            ("GET", r"/wc/v3/orders", lambda _, q, __, now: _Listed(orders.select(shop, q, at, now - lag), lambda x: orders.render(shop, x, at))),
            ("POST", r"/wc/v3/orders", lambda _, __, b, now: orders.render(shop, orders.create(shop, b, now), at)),
            ("POST", r"/wc/v3/orders/batch", lambda _, __, b, now: orders.batch(shop, b, now)),
            ("GET", r"/wc/v3/orders/(\d+)", lambda a, _, __, ___: orders.render(shop, orders.find(shop, a[0]), at)),
            ("PUT", r"/wc/v3/orders/(\d+)", lambda a, _, b, now: orders.render(shop, orders.update(shop, orders.find(shop, a[0]), b, now), at)),
            ("DELETE", r"/wc/v3/orders/(\d+)", self._delete),
            ("GET", r"/wc/v3/products", lambda _, q, __, ___: _Listed(self._products(q), self._product)),
            ("GET", r"/wc/v3/products/(\d+)", lambda a, _, __, ___: self._product(self._find_product(a[0]))),
            ("PUT", r"/wc/v3/products/(\d+)", self._put_product),
            ("GET", r"/wc/v3/products/(\d+)/variations", self._variations),
            ("GET", r"/wc/v3/settings/general", lambda *_: self._settings("general")),
            ("GET", r"/wc/v3/settings/tax", lambda *_: self._settings("tax")),
            ("GET", r"/wc/v3/taxes/classes", lambda *_: [{"slug": x or "standard", "name": x} for x in shop.rates]),
        ]  # fmt: skip
        if shop.fulfillments_enabled:
            table.append(("GET", r"/wc/v3/orders/(\d+)/fulfillments", self._fulfillments))
            table.append(("POST", r"/wc/v3/orders/(\d+)/fulfillments", self._fulfil))
        if shop.tracking_enabled:
            path = r"/wc-shipment-tracking/v3/orders/(\d+)/shipment-trackings"
            table.append(("GET", path, lambda a, _, __, ___: orders.find(shop, a[0]).trackings))
        return [(method, re.compile(pattern), call) for method, pattern, call in table]

    def _paged(self, request: Request, listed: _Listed, query: Mapping[str, str]) -> _Routed:
        size, page, total = int(query.get("per_page", "10")), int(query.get("page", "1")), len(listed.rows)
        if not 1 <= size <= 100:
            raise RestError(400, "rest_invalid_param", "per_page")
        start = int(query["offset"]) if "offset" in query else (page - 1) * size
        headers = {"x-wp-total": str(total), "x-wp-totalpages": str(-(-total // size))}
        if page * size < total:
            # The link repeats the whole query: with OAuth in it, the spent nonce and signature too.
            again = urlencode({**query, "page": page + 1})
            headers["link"] = f'<{request.url.partition("?")[0]}?{again}>; rel="next"'
        return 200, [listed.shown(row) for row in listed.rows[start : start + size]], headers

    # Who may

    def _authorise(self, request: Request, query: Mapping[str, str], now: datetime) -> None:
        header = next((v for k, v in request.headers if k.lower() == "authorization"), "")
        given = _oauth(header) or {k: v for k, v in query.items() if k.startswith("oauth_")}
        if given:
            self._check_oauth(request, given, query, now)
        elif urlsplit(request.url).scheme != "https" or not self._is_basic(header, query):
            # Over plain http Basic is not even looked at: it reads like a lack of rights.
            verb = {"GET": "view", "POST": "create", "PUT": "edit", "DELETE": "delete"}[request.method]
            raise RestError(401, f"woocommerce_rest_cannot_{verb}")
        if request.method != "GET" and self._rights == "read":
            raise RestError(401, "woocommerce_rest_authentication_error")

    def _is_basic(self, header: str, query: Mapping[str, str]) -> bool:
        pair = f"{query.get('consumer_key')}:{query.get('consumer_secret')}"
        if header.startswith("Basic "):
            pair = base64.b64decode(header.removeprefix("Basic ")).decode()
        return hmac.compare_digest(pair.encode(), f"{self._key}:{self._secret}".encode())

    def _check_oauth(
        self, request: Request, given: Mapping[str, str], query: Mapping[str, str], now: datetime
    ) -> None:
        signed = {**query, **given}
        signature = signed.pop("oauth_signature", "")
        digest = {"HMAC-SHA256": hashlib.sha256, "HMAC-SHA1": hashlib.sha1}.get(
            given.get("oauth_signature_method", "")
        )
        fresh = abs(now.timestamp() - float(given.get("oauth_timestamp", "0"))) <= NONCE_SECONDS
        nonce = given.get("oauth_nonce", "")
        if (
            given.get("oauth_consumer_key") != self._key
            or digest is None
            or not fresh
            or nonce in self._nonces
        ):
            raise RestError(401, "woocommerce_rest_authentication_error")
        text = base_string(request.method, request.url.partition("?")[0], signed.items())
        mac = hmac.new(f"{self._secret}&".encode(), text.encode(), digest)
        if not hmac.compare_digest(base64.b64encode(mac.digest()).decode(), signature):
            raise RestError(401, "woocommerce_rest_authentication_error")
        self._nonces = {k: v for k, v in self._nonces.items() if v > now.timestamp() - NONCE_SECONDS}
        self._nonces[nonce] = now.timestamp()

    # Products, parcels, settings

    def _products(self, query: Mapping[str, str]) -> list[Product]:
        """Variations come only when asked for by SKU."""
        rows = [x for x in self.shop.products.values() if not x.parent_id]
        if query.get("sku"):
            wanted = [*query["sku"].lower().split(","), query["sku"].lower()]
            rows = [x for x in self.shop.products.values() if x.sku and x.sku.lower() in wanted]
        if "include" in query:
            ids = [int(x) for x in query["include"].split(",") if x.strip().isdigit()]
            rows = [x for x in rows if x.id in ids]
        if "modified_after" in query:
            shift = timedelta(0) if query.get("dates_are_gmt") == "true" else self.utc_offset
            bound = datetime.fromisoformat(query["modified_after"]).replace(tzinfo=UTC) - shift
            rows = [x for x in rows if x.modified > bound]
        return sorted(rows, key=lambda x: x.id, reverse=query.get("order", "desc") == "desc")

    def _product(self, product: Product) -> Json:
        """A variation without a SKU or a figure of its own shows its parent's."""
        parent = self.shop.products.get(product.parent_id)
        holder = parent if product.manage_stock == "parent" and parent else product
        counted = product.manage_stock is True or product.manage_stock == "parent"
        return {
            "id": product.id, "sku": product.sku or (parent.sku if parent else ""), "name": product.name,
            "type": product.type, "parent_id": product.parent_id, "manage_stock": product.manage_stock,
            "stock_quantity": holder.stock if counted else None, "price": str(product.price), "status": "publish",
            "date_modified_gmt": product.modified.strftime("%Y-%m-%dT%H:%M:%S"),
        }  # fmt: skip

    def _find_product(self, product_id: int) -> Product:
        if product_id not in self.shop.products:
            raise RestError(404, "woocommerce_rest_product_invalid_id")
        return self.shop.products[product_id]

    def _put_product(self, ids: list[int], _: Mapping[str, str], body: Json, now: datetime) -> Json:
        product = self._find_product(ids[0])
        if "stock_quantity" in body:
            self.shop.set_stock(product.sku, int(body["stock_quantity"]), now)
        return self._product(product)

    def _variations(self, ids: list[int], query: Mapping[str, str], _: Json, __: datetime) -> Any:
        self._find_product(ids[0])
        rows = sorted(
            self.shop.variations(ids[0]), key=lambda x: x.id, reverse=query.get("order", "desc") == "desc"
        )
        return _Listed(
            rows, lambda x: {k: v for k, v in self._product(x).items() if k != "type"} | {"type": "variation"}
        )

    def _delete(self, ids: list[int], query: Mapping[str, str], _: Json, now: datetime) -> Json:
        order = orders.find(self.shop, ids[0])
        shown = orders.render(self.shop, order, self.utc_offset)
        (self.shop.delete if query.get("force") == "true" else self.shop.trash)(order.id, now)
        return shown

    def _fulfillments(self, ids: list[int], _: Mapping[str, str], __: Json, ___: datetime) -> Any:
        if ids[0] not in self.shop.orders:
            raise RestError(404, "woocommerce_rest_order_invalid_id")
        order = self.shop.orders[ids[0]]
        return [orders.fulfillment(order, parcel) for parcel in order.fulfillments if parcel.deleted is None]

    def _fulfil(self, ids: list[int], _: Mapping[str, str], body: Json, now: datetime) -> Json:
        return orders.add_fulfillment(self.shop, orders.find(self.shop, ids[0]), body, now)

    def _settings(self, group: str) -> list[Json]:
        values = {
            "general": {"woocommerce_currency": self.shop.currency, "woocommerce_calc_taxes": "yes"},
            "tax": {
                "woocommerce_prices_include_tax": "no",
                "woocommerce_shipping_tax_class": self.shop.shipping_tax_class,
            },
        }
        return [{"id": key, "value": value} for key, value in values[group].items()]


def _only(answer: Any, fields: str) -> Any:
    if not fields:
        return answer
    names = fields.split(",")
    if isinstance(answer, list):
        return [{k: v for k, v in row.items() if k in names} for row in answer]
    return {k: v for k, v in answer.items() if k in names}


def _json(body: bytes) -> Json:
    try:
        decoded = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise RestError(400, "rest_invalid_json") from None
    if not isinstance(decoded, dict):
        raise RestError(400, "rest_invalid_json")
    return decoded


def _oauth(header: str) -> dict[str, str]:
    if not header.startswith("OAuth "):
        return {}
    pairs = (part.strip().partition("=") for part in header.removeprefix("OAuth ").split(","))
    return {unquote(name): unquote(value.strip('"')) for name, _, value in pairs}
