"""An eBay account to rehearse with: a stateful, pure server of the calls that the adapter makes (D12).

The same request at the same time on the same history gives the same answer. Faults of the network are not its
business; those of the vendor are, by `Behaviour`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from msgspec.structs import replace

from adapters.ebay.sandbox_access import Access
from adapters.ebay.sandbox_cancels import approve_cancel, create_cancel
from adapters.ebay.sandbox_http import Fault, Query, Reply, answer, body_of, number, span
from adapters.ebay.sandbox_json import ORDERS, order_json, orders_json, packages_json
from adapters.ebay.sandbox_world import Behaviour, CancelRequest, SoldOrder, World
from adapters.ebay.sandbox_writes import create_package, update_stock
from marketsync.ports import Request, Response
from marketsync.sandbox.books import Account

LIST_MAX = 200
IDS_MAX = 50
_PAGE = b"<!doctype html><title>Sign in or Register | eBay</title>"
_RAW_SIGNS = frozenset("[]{}|")


class EbaySandbox(Account[Behaviour, SoldOrder]):
    """One seller's account. Two `package` of one order and number in its log, or two without a number, are a duplicate."""

    world: World

    def __init__(
        self,
        listings: Mapping[str, int],
        behaviour: Behaviour | None = None,
        prices: Mapping[str, Decimal] | None = None,
    ) -> None:
        super().__init__(World(listings, behaviour or Behaviour(), prices or {}))
        self.access = Access(self.world)
        self.make_up_later: list[tuple[str, Mapping[str, Any]]] = []

    def place_order(
        self, now: datetime, lines: Sequence[tuple[str, int]], *, by_ebay: bool = False
    ) -> str | None:
        """A buyer commits to buy (sku, quantity); None where the listing has not that many left."""
        order = self.world.place(self.arrive(now), lines, by_ebay=by_ebay)
        return None if order is None else order.order_id

    def cancel_order(self, now: datetime, order_id: str, *, by: str = "Buyer") -> bool:
        """Asked for by `by`, and granted by the seller in Seller Hub."""
        at = self.arrive(now)
        return self.world.cancel(self.world.orders[order_id], at, by)

    def ask_to_cancel(self, now: datetime, order_id: str) -> None:
        at = self.arrive(now)
        order = self.world.orders[order_id]
        asked = CancelRequest(f"c{len(self.log) + 1}", "Buyer", "REQUESTED", at.replace(microsecond=0))
        requests = (*order.cancel_requests, asked)
        self.world.record(at, "cancel_asked", order_id)
        self.world.put(replace(order, cancel_state="IN_PROGRESS", cancel_requests=requests), at)

    def decline_cancel(self, now: datetime, order_id: str) -> None:
        at = self.arrive(now)
        order = self.world.orders[order_id]
        requests = tuple(
            replace(x, state="REJECTED") if x.state == "REQUESTED" else x for x in order.cancel_requests
        )
        self.world.put(replace(order, cancel_state="NONE_REQUESTED", cancel_requests=requests), at)

    def refund(self, now: datetime, order_id: str) -> None:
        """The whole order, by the seller in Seller Hub."""
        at = self.arrive(now)
        order = self.world.orders[order_id]
        self.world.put(replace(order, payment="FULLY_REFUNDED", refunded_at=at), at)

    def handle(self, request: Request, now: datetime) -> Response:
        """`received_at` is left to the transport."""
        at = self.arrive(now)
        headers = {"date": format_datetime(at.replace(microsecond=0), usegmt=True)}
        try:
            status, more, body = self._route(request, at)
        except Fault as fault:
            status, more, body = fault.status, {"content-type": "application/json"}, fault.body()
        return Response(status=status, headers={**headers, **more}, body=body, received_at=0.0)

    def _route(self, request: Request, at: datetime) -> Reply:
        parts = urlsplit(request.url)
        if _RAW_SIGNS & set(parts.query):
            raise Fault(400, 30700, "brackets and bars must be percent-encoded")
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        path = tuple(unquote(piece) for piece in parts.path.split("/")[1:])
        match (request.method, path):
            case ("POST", ("identity", "v1", "oauth2", "token")):
                return self.access.token(request, at)
            case (_, ("sell", "fulfillment", "v1", "order", *rest)):
                self.access.check(request, "fulfillment", at)
                return self._fulfilment(request, tuple(rest), query, at)
            case ("POST", ("sell", "inventory", "v1", "bulk_update_price_quantity")):
                self.access.check(request, "inventory", at)
                return self._update_stock(request, at)
            case ("POST", ("post-order", "v2", "cancellation", *rest)):
                self.access.check(request, "post_order", at)
                return self._cancel(request, tuple(rest), at)
            case ("GET", ("sell", "inventory", "v1", "inventory_item")):
                self.access.check(request, "inventory", at)
                return self._list_items(query)
            case ("GET", ("commerce", "notification", "v1", "public_key", kid)):
                self.access.check(request, "notification", at)
                return self._public_key(kid)
            case _:
                raise Fault(404, 2002, "Resource not found", "ACCESS")

    def _fulfilment(self, request: Request, rest: tuple[str, ...], query: Query, at: datetime) -> Reply:
        match (request.method, rest):
            case ("GET", ()):
                return self._list_orders(query, at)
            case ("GET", (order_id,)):
                order, breakdown = self._order(order_id), _breakdown(query)
                shown = self._shown_as(order)
                return answer(order_json(order, shown, breakdown=breakdown, requests=True))
            case ("GET", (order_id, "shipping_fulfillment")):
                packages = self.world.packages_of(self._order(order_id).order_id, at)
                return answer(packages_json(packages))
            case ("POST", (order_id, "shipping_fulfillment")):
                return self._create_package(request, self._order(order_id), at)
            case _:
                raise Fault(404, 2002, "Resource not found", "ACCESS")

    def _order(self, order_id: str) -> SoldOrder:
        order = self.world.orders.get(order_id)
        if order is None:
            raise Fault(400, 32100, "Invalid order ID")
        return order

    def _shown_as(self, order: SoldOrder) -> Behaviour:
        spoilt = self.spoilt.get(order.order_id)
        return replace(self.behaviour, **spoilt) if spoilt else self.behaviour

    def _list_orders(self, query: Query, at: datetime) -> Reply:
        if self.behaviour.html_page:
            return 200, {"content-type": "text/html"}, _PAGE
        if "orderIds" in query:
            return self._named_orders(query["orderIds"][0])
        offset = number(query, "offset", 0, 0, 10**9, 31000)
        size = number(query, "limit", 50, 1, LIST_MAX, 31100)
        breakdown = _breakdown(query)
        found = self._matching(query, at)
        shown = [
            order_json(order, self._shown_as(order), breakdown=breakdown)
            for order in found[offset : offset + size]
        ]
        kept = {name: values[0] for name, values in query.items() if name not in {"limit", "offset"}}
        status, headers, body = answer(orders_json(shown, len(found), offset, size, kept))
        return status, headers, body[: len(body) // 2] if self.behaviour.malformed_page else body

    def _named_orders(self, ids: str) -> Reply:
        """With ids every other parameter is passed over in silence, the breakdown of taxes as well."""
        wanted = ids.split(",")
        if len(wanted) > IDS_MAX:
            raise Fault(400, 30900, "Exceeded maximum number of order IDs")
        found = [self.world.orders[x] for x in wanted if x in self.world.orders]
        shown = [order_json(order, self._shown_as(order)) for order in found]
        return answer(orders_json(shown, len(shown), 0, IDS_MAX, {"orderIds": ids}))

    def _matching(self, query: Query, at: datetime) -> list[SoldOrder]:
        """By creation, if it is asked for: a second span is then passed over in silence."""
        spans: dict[str, str] = {}
        for part in filter(None, query.get("filter", [""])[0].split(",")):
            name, _, value = part.partition(":")
            if name not in {"creationdate", "lastmodifieddate"}:
                raise Fault(400, 30700, "Invalid filter name")
            spans[name] = value
        created = spans.get("creationdate")
        if created is None and "lastmodifieddate" in spans:
            low, high = span(spans["lastmodifieddate"], at)
            return [order for order in self.world.visible(at) if low <= order.updated <= high]
        low, high = span(created, at) if created else (at - timedelta(days=90), at)
        return [order for order in self.world.visible(at) if low <= order.created <= high]

    def _create_package(self, request: Request, order: SoldOrder, at: datetime) -> Reply:
        body = body_of(request, "API_FULFILLMENT", 32600)
        package = create_package(self.world, order, body, at)
        if self._swallowed("confirm", order.order_id):
            self.make_up_later.append((order.order_id, body))
        else:
            self.world.add_package(package, order)
        where = f"{ORDERS}/{quote(order.order_id)}/shipping_fulfillment/{quote(package.fulfillment_id)}"
        status, headers, content = answer({}, 201)
        return status, {**headers, "location": where}, content

    def _update_stock(self, request: Request, at: datetime) -> Reply:
        body = body_of(request, "API_INVENTORY", 25709)
        applied = not self._swallowed("stock", str(len(self.world.changes)))
        made = update_stock(self.world, body, at, applied=applied)
        clean = all(item["statusCode"] == 200 for item in made["responses"])
        return answer(made, 200 if clean else 207)

    def _cancel(self, request: Request, rest: tuple[str, ...], at: datetime) -> Reply:
        match rest:
            case ():
                return create_cancel(self.world, request, at)
            case (cancel_id, "approve"):
                return approve_cancel(self.world, request, cancel_id, at)
            case _:
                raise Fault(404, 2002, "Resource not found", "ACCESS")

    def _list_items(self, query: Query) -> Reply:
        size = number(query, "limit", 25, 1, 100, 25709)
        items = [{"sku": sku} for sku in sorted(self.world.listings)]
        return answer(
            {"total": len(items), "size": len(items[:size]), "limit": size, "inventoryItems": items[:size]}
        )

    def _public_key(self, kid: str) -> Reply:
        key = self.world.public_keys.get(kid)
        if key is None:
            raise Fault(404, 195001, "The specified key id is invalid.", "API_NOTIFICATION")
        return answer({"key": key, "algorithm": "ECDSA", "digest": "SHA1"})


def _breakdown(query: Query) -> bool:
    groups = query.get("fieldGroups", [""])[0]
    if groups not in {"", "TAX_BREAKDOWN"}:
        raise Fault(400, 32800, "Invalid field group")
    return bool(groups)
