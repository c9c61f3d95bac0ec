"""A simulated Shopify: its Admin API as a pure function of a request, the shop's state and the world's time.

GraphQL is executed for real, over the schema that our operations need. Throttles, refusals and faults come under HTTP 200.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationType,
    execute_sync,
    parse,
    validate,
)
from graphql.language import OperationDefinitionNode

from adapters.shopify import sandbox_orders as orders
from adapters.shopify import sandbox_views as views
from adapters.shopify.sandbox_root import fields
from adapters.shopify.sandbox_schema import IDEMPOTENT, schema
from adapters.shopify.sandbox_shop import Order, Refusal, ShopifyShop
from adapters.shopify.settings import API_VERSION
from adapters.shopify.wire import gid, number_of
from marketsync.ports import Request, Response

Json = dict[str, Any]
POINTS_MAX, POINTS_PER_SECOND = 2000.0, 100.0
MUTATION_POINTS = 10.0
SCOPES = (
    "write_orders", "write_order_edits", "read_returns", "read_products", "write_inventory", "read_locations",
    "write_merchant_managed_fulfillment_orders",
)  # fmt: skip


class Faults(msgspec.Struct):
    """How many of the next creates meet a fault. `beside`: made, with user errors beside it; `unsaid`: made, and the answer
    has errors and no order; `top`: made, with errors of GraphQL beside it; `other`: not made, another order is shown.
    `throttle`: so many of the next requests are throttled; `denied`: a scope is gone; `bulk_fails`: so many bulk operations."""

    beside: int = 0
    unsaid: int = 0
    top: int = 0
    other: int = 0
    throttle: int = 0
    denied: bool = False
    bulk_fails: int = 0


class ShopifySandbox:
    """`unique`: a second order with the same reference is refused. `creates_per_minute`: the cap of a development store, 0 for
    none. Look-ups and searches see what was made `lookup_lag` ago. The shop's people act through `shop`."""

    def __init__(
        self, shop: ShopifyShop | None = None, *, token: str = "shpua_demo", namespace: str = "marketsync",  # noqa: S107 - of an invented shop
        key: str = "reference", unique: bool = True, defined: bool = True, scopes: tuple[str, ...] = SCOPES,
        lookup_lag: timedelta = timedelta(0), clock_skew: timedelta = timedelta(0), creates_per_minute: int = 0,
        cancel_seconds: float = 1.0, bulk_seconds: float = 2.0, throttles: bool = True,
    ) -> None:  # fmt: skip
        self.shop = shop or ShopifyShop()
        self.faults = Faults()
        self.lookup_lag, self.clock_skew = lookup_lag, clock_skew
        self._token, self._scopes = token, scopes
        self._name, self._unique, self._defined = (namespace, key), unique, defined
        self._cap, self._cancel_seconds, self._bulk_seconds = creates_per_minute, cancel_seconds, bulk_seconds
        self._throttles = throttles
        self._points: tuple[float, float] | None = None
        self._created: list[float] = []
        self._drafts: dict[int, orders.Draft] = {}
        self._bulks: dict[int, tuple[datetime, bytes, int, bool]] = {}
        self._keys: dict[str, bytes] = {}

    def handle(self, request: Request, now: datetime) -> Response:
        """One exchange at `now` of the world's clock; `received_at` is its time in unix seconds."""
        self.shop.settle(now)
        shown_at = (now + self.clock_skew).replace(microsecond=0)
        status, body = self._answer(request, now)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "date": format_datetime(shown_at, usegmt=True),
        }
        return Response(status, headers, body, now.timestamp())

    def _answer(self, request: Request, now: datetime) -> tuple[int, bytes]:
        url = urlsplit(request.url)
        if request.method == "GET" and url.path.startswith("/bulk/"):
            return self._file(url.path)
        if request.method != "POST" or url.path != f"/admin/api/{API_VERSION}/graphql.json":
            return 404, b'{"errors":"Not Found"}'
        given = next((v for k, v in request.headers if k.lower() == "x-shopify-access-token"), "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return (
                401,
                b'{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}',
            )
        try:
            asked = msgspec.json.decode(request.body)
            query, variables = str(asked["query"]), dict(asked.get("variables") or {})
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return 400, b'{"errors":{"query":"Required parameter missing or invalid"}}'
        origin = f"{url.scheme}://{url.netloc}"
        return 200, msgspec.json.encode(self._executed(query, variables, origin, now))

    # GraphQL

    def _executed(self, query: str, variables: Json, origin: str, now: datetime) -> Json:
        document = _document(query)
        if isinstance(document, list):
            return {"errors": [_error(x.message, "invalidQuery") for x in document]}
        fields = list(_mutations(document))
        requested = MUTATION_POINTS * len(fields) or _breadth(query)
        if self._is_throttled(requested, now):
            return {"errors": [_error("Throttled", "THROTTLED")], "extensions": self._cost(requested, None)}
        if self.faults.denied:
            return {"data": None, "errors": [_error("Access denied", "ACCESS_DENIED")]}
        if wrong := self._directives(fields, variables):
            return {"data": None, "errors": [_error(wrong, "BAD_REQUEST")]}
        result = self._run(document, variables, now, origin=origin)
        if result.data is None and result.errors and all(x.path is None for x in result.errors):
            return {"errors": [_error(x.message, "INVALID_VARIABLE") for x in result.errors]}
        answer: Json = {"data": result.data}
        if result.errors:
            answer["errors"] = [_error(x.message, "INTERNAL_SERVER_ERROR") for x in result.errors]
        if self.faults.top and fields and fields[0].name.value == "orderCreate":
            self.faults.top -= 1
            answer["errors"] = [_error("Something went wrong beside it", "INTERNAL_SERVER_ERROR")]
        spent = max(requested, _objects(result.data))
        self._spend(spent)
        return {**answer, "extensions": self._cost(requested, spent)}

    def _run(
        self, document: DocumentNode, variables: Json, now: datetime, *, origin: str = "", bulk: bool = False
    ) -> ExecutionResult:
        result = execute_sync(
            schema(),
            document,
            fields(self, now, origin),
            {"bulk": bulk, "variables": variables},
            variable_values=variables,
        )
        return ExecutionResult(result.data, result.errors)

    def _directives(self, fields: list[FieldNode], variables: Json) -> str:
        """Mandatory where a mutation takes it, and read nowhere else; a missing `changeFromQuantity` is refused as well."""
        for field in fields:
            says = [x for x in field.directives or () if x.name.value == "idempotent"]
            if bool(says) is not (field.name.value in IDEMPOTENT):
                return f"The @idempotent directive is {'not supported' if says else 'required'} on {field.name.value}"
        changes = (variables.get("input") or {}).get("changes") or () if fields else ()
        if any("changeFromQuantity" not in change for change in changes):
            return "changeFromQuantity is required"
        return ""

    # Points

    def _is_throttled(self, requested: float, now: datetime) -> bool:
        held, at = self._points or (POINTS_MAX, now.timestamp())
        passed = max(0.0, now.timestamp() - at)
        self._points = (min(POINTS_MAX, held + passed * POINTS_PER_SECOND), max(at, now.timestamp()))
        if self.faults.throttle:
            self.faults.throttle -= 1
            return True
        return self._throttles and self._points[0] < requested

    def _spend(self, points: float) -> None:
        assert self._points is not None  # noqa: S101 - asked for before anything is executed
        self._points = (max(0.0, self._points[0] - points), self._points[1])

    def _cost(self, requested: float, actual: float | None) -> Json:
        held = self._points[0] if self._points else POINTS_MAX
        status = {
            "maximumAvailable": POINTS_MAX, "currentlyAvailable": int(held), "restoreRate": POINTS_PER_SECOND,
        }  # fmt: skip
        return {
            "cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}
        }

    # Orders

    def named(self, identifier: Mapping[str, Any], now: datetime) -> Order | None:
        name, value = identifier["customId"], identifier["customId"]["value"]
        if (name.get("namespace"), name["key"]) != self._name or not self._defined:
            raise GraphQLError("Metafield definition of type 'id' is required when using custom ids.")
        until = now - self.lookup_lag
        found = [
            x for x in self.shop.orders.values() if not x.deleted and x.metafields.get(self._name) == value
        ]
        return next((x for x in found if x.created <= until), None)

    def listed(self, search: str, now: datetime) -> list[Order]:
        return orders.select(self.shop, search, now - self.lookup_lag)

    def create(self, body: Json, options: Json, now: datetime) -> Json:
        if self._cap:
            self._created = [at for at in self._created if at > now.timestamp() - 60.0]
            if len(self._created) >= self._cap:
                raise Refusal("Too many attempts. Please try again later.", code="")
        if self._takes("other"):
            older = min(self.shop.orders.values(), key=lambda x: x.id)
            return {"order": views.order(self.shop, older), "userErrors": []}
        unique = {self._name} if self._unique and self._defined else set()
        held = orders.create(self.shop, body, options, unique, now)
        self._created.append(now.timestamp())
        said: list[Json] = []
        if self._takes("beside"):
            said = [Refusal("Tags could not be saved", "order", "tags").shown]
        if self._takes("unsaid"):
            return {"order": None, "userErrors": [Refusal("Something went wrong", "order").shown]}
        return {"order": views.order(self.shop, held), "userErrors": said}

    def _takes(self, fault: str) -> bool:
        left = getattr(self.faults, fault)
        setattr(self.faults, fault, max(0, left - 1))
        return bool(left)

    def cancel(self, held: Order, *, restock: bool, note: str, now: datetime) -> int:
        held.cancel_note = note
        return orders.cancel(self.shop, held, restock=restock, now=now, seconds=self._cancel_seconds)

    def begin(self, held: Order) -> orders.Draft:
        draft = orders.begin(self.shop, held)
        self._drafts[draft.id] = draft
        return draft

    def draft(self, shown: str) -> orders.Draft:
        draft = self._drafts.get(int(number_of(shown) or 0))
        if draft is None:
            raise Refusal("The calculated order does not exist", "id", code="")
        return draft

    # Bulk operations

    def start_bulk(self, query: str, now: datetime) -> Json:
        """It reads what is there when it begins. One at a time."""
        if any(ready > now for ready, *_ in self._bulks.values()):
            raise Refusal("A bulk query operation is in progress", code="OPERATION_IN_PROGRESS")
        document = _document(query)
        if isinstance(document, list) or list(_mutations(document)):
            raise Refusal("Invalid bulk query", "query")
        rows = list(_flat(self._run(document, {}, now, bulk=True).data or {}, ""))
        number, body = self.shop.next_id(), b"\n".join(msgspec.json.encode(row) for row in rows)
        self._bulks[number] = (
            now + timedelta(seconds=self._bulk_seconds),
            body,
            len(rows),
            self._takes("bulk_fails"),
        )
        return {"id": gid("BulkOperation", str(number)), "status": "CREATED", "objectCount": "0"}

    def bulk(self, shown: str, origin: str, now: datetime) -> Json | None:
        number = int(number_of(shown) or 0)
        if number not in self._bulks:
            return None
        ready, _, count, fails = self._bulks[number]
        base = {"id": shown, "objectCount": str(count), "url": None}
        if now < ready:
            return {**base, "status": "RUNNING", "objectCount": "0"}
        if fails:
            return {**base, "status": "FAILED", "errorCode": "INTERNAL_SERVER_ERROR"}
        url = f"{origin}/bulk/{number}.jsonl" if count else None
        return {**base, "status": "COMPLETED", "url": url}

    def _file(self, path: str) -> tuple[int, bytes]:
        number = path.removeprefix("/bulk/").removesuffix(".jsonl")
        held = self._bulks.get(int(number)) if number.isdigit() else None
        return (200, held[1]) if held else (404, b"")

    # Account and figures

    def installation(self) -> Json:
        return {"accessScopes": [{"handle": scope} for scope in self._scopes]}

    def account(self) -> Json:
        return {"currencyCode": self.shop.currency, "plan": {"partnerDevelopment": bool(self._cap)}}

    def definition(self, identifier: Mapping[str, Any]) -> Json | None:
        if not self._defined or (identifier.get("namespace"), identifier["key"]) != self._name:
            return None
        unique = {"uniqueValues": {"enabled": True}}
        return {"id": gid("MetafieldDefinition", "1"), "type": {"name": "id"}, "capabilities": unique}

    def adjust(self, body: Json, key: str, now: datetime) -> int:
        """The same key with other parameters is refused. With the same ones the figure is compared anew, as was seen."""
        encoded = msgspec.json.encode(body, order="deterministic")
        if self._keys.setdefault(key, encoded) != encoded:
            raise Refusal("Same key, other parameters", code="IDEMPOTENCY_KEY_PARAMETER_MISMATCH")
        return orders.adjust(self.shop, body, now)


@lru_cache(maxsize=256)
def _document(query: str) -> DocumentNode | list[GraphQLError]:
    """Or what is wrong with it."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return [error]
    return validate(schema(), document) or document


def _mutations(document: DocumentNode) -> Iterator[FieldNode]:
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.MUTATION:
            yield from (x for x in definition.selection_set.selections if isinstance(x, FieldNode))


def _breadth(query: str) -> float:
    return float(query.count("{"))


def _objects(value: Any) -> float:
    if isinstance(value, dict):
        return 1.0 + sum(_objects(x) for x in value.values())
    return sum((_objects(x) for x in value), 0.0) if isinstance(value, list) else 0.0


def _error(message: str, code: str) -> Json:
    return {"message": message, "extensions": {"code": code}}


def _flat(node: Json, parent: str) -> Iterator[Json]:
    """The lines of a bulk operation's file: each node of a connection by itself, behind its parent."""
    own, below = {}, []
    for name, value in node.items():
        if isinstance(value, dict) and "edges" in value:
            below += [edge["node"] for edge in value["edges"]]
        elif isinstance(value, dict):
            inner = {k: v for k, v in value.items() if not (isinstance(v, dict) and "edges" in v)}
            below += [
                e["node"] for v in value.values() if isinstance(v, dict) and "edges" in v for e in v["edges"]
            ]
            own[name] = inner
        else:
            own[name] = value
    if "id" in own:
        yield {**own, "__parentId": parent} if parent else own
    for child in below:
        yield from _flat(child, str(own.get("id", "")))
