"""An Amazon to rehearse with: a stateful, pure server of the calls that the adapter makes (D12).

The same request at the same time on the same history gives the same answer. It serves the API, the token service and
the documents' addresses from one origin. Faults of the network are not its business; those of the vendor are, by
`Behaviour`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec.structs import replace

from adapters.amazon.sandbox_http import (
    RATES,
    Fault,
    Meter,
    Shaped,
    answer,
    body_of,
    headers_of,
    invalid,
    moment,
    only,
    package_of,
    query_of,
    stamp,
    text_of,
)
from adapters.amazon.sandbox_json import INCLUDED, order_json
from adapters.amazon.sandbox_stock import Expired, Stock, denied
from adapters.amazon.sandbox_world import Behaviour, Package, SoldOrder, World, share
from adapters.amazon.stores import STORES
from marketsync.ports import Request, Response
from marketsync.sandbox.books import Account

LIST_MAX = 100
BEHIND_SECONDS = 120.0
FULFILLED = "Failed to create package due to not finding a matching package or order already fulfilled: PackageToUpdateNotFound"
_AXES = {"lastUpdatedAfter": "lastUpdatedBefore", "createdAfter": "createdBefore"}
_LOGIN_PAGE = b"<!doctype html><title>Sign in</title><form method=post>...</form>"


class AmazonSandbox(Account[Behaviour, SoldOrder]):
    """One seller's account. Two `package` of one reference in its log would be a duplicate."""

    world: World

    def __init__(
        self,
        offers: Mapping[str, int],
        behaviour: Behaviour | None = None,
        prices: Mapping[str, Decimal] | None = None,
    ) -> None:
        super().__init__(World(offers, behaviour or Behaviour(), prices or {}))
        self.stock = Stock(self.world)
        self._meter = Meter()
        self._tokens: dict[str, datetime] = {}
        self._refresh = self.behaviour.refresh_token
        self.unconfirmed: list[tuple[str, Package]] = []
        """What was acknowledged and had no effect."""

    @property
    def offers(self) -> Mapping[str, int]:
        """What is listed now."""
        return {sku: listing.quantity for sku, listing in self.world.listings.items()}

    def place_order(
        self, now: datetime, lines: Sequence[tuple[str, int]], *, by_amazon: bool = False
    ) -> str | None:
        """A buyer orders (sku, quantity); None where the listing has not that many left."""
        order = self.world.place(self.arrive(now), lines, by_amazon=by_amazon)
        return None if order is None else order.order_id

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        at = self.arrive(now)
        return self.world.cancel(self.world.orders[order_id], at, "cancelled") is not None

    def ask_cancel(self, now: datetime, order_id: str) -> None:
        """The buyer wants to, and Amazon leaves it to the seller."""
        at = self.arrive(now)
        self.world.put(replace(self.world.orders[order_id], cancel_asked=True), at)

    def cancel_units(self, now: datetime, order_id: str, item_id: str, quantity: int) -> None:
        at = self.arrive(now)
        order = self.world.orders[order_id]
        lines = tuple(
            replace(x, cancelled=x.cancelled + quantity) if x.item_id == item_id else x for x in order.lines
        )
        self.world.put(replace(order, lines=lines), at)

    def handle(self, request: Request, now: datetime) -> Response:
        """`received_at` is left to the transport."""
        at = self.arrive(now)
        headers = {"date": format_datetime(at.replace(microsecond=0), usegmt=True)}
        try:
            status, more, body = self._route(request, at)
        except Fault as fault:
            status, more, body = fault.status, {"content-type": "application/json"}, fault.body
        except Expired:
            status, more, body = denied()
        return Response(status=status, headers={**headers, **more}, body=body, received_at=0.0)

    def _route(self, request: Request, at: datetime) -> Shaped:
        parts = urlsplit(request.url)
        origin = f"{parts.scheme}://{parts.netloc}"
        path = tuple(unquote(piece) for piece in parts.path.strip("/").split("/"))
        match (request.method, path):
            case ("POST", ("auth", "o2", "token")):
                return self._token(request, at)
            case ("PUT", ("documents", document_id)):
                return self.stock.upload(request, document_id, at)
            case ("GET", ("documents", document_id)):
                return self.stock.download(request, document_id, at)
            case _:
                pass
        self._authorise(request, at)
        operation, shaped = self._called(request, path, at, origin)
        if shaped[0] == 200:
            shaped[1]["x-amzn-ratelimit-limit"] = str(RATES[operation][0])
        return shaped

    def _called(
        self, request: Request, path: tuple[str, ...], at: datetime, origin: str
    ) -> tuple[str, Shaped]:
        """The operation and its answer; one that may not be called now costs nothing but the 429."""
        match (request.method, path):
            case ("GET", ("orders", "2026-01-01", "orders")):
                return self._metered("searchOrders", at), self._search(request, at)
            case ("GET", ("orders", "2026-01-01", "orders", order_id)):
                return self._metered("getOrder", at), self._get(request, order_id, at)
            case ("POST", ("orders", "v0", "orders", order_id, "shipmentConfirmation")):
                return self._metered("confirmShipment", at), self._confirm(request, order_id, at)
            case ("PATCH", ("listings", "2021-08-01", "items", seller_id, sku)):
                return self._metered("patchListingsItem", at), self._patch(request, seller_id, sku, at)
            case ("POST", ("feeds", "2021-06-30", "documents")):
                name = self._metered("createFeedDocument", at)
                return name, self.stock.create_document(request, at, origin)
            case ("GET", ("feeds", "2021-06-30", "documents", document_id)):
                return self._metered("getFeedDocument", at), self.stock.report(document_id, at, origin)
            case ("POST", ("feeds", "2021-06-30", "feeds")):
                return self._metered("createFeed", at), self.stock.create_feed(request, at)
            case ("GET", ("feeds", "2021-06-30", "feeds")):
                return self._metered("getFeeds", at), self.stock.list_feeds(request, at)
            case ("GET", ("feeds", "2021-06-30", "feeds", feed_id)):
                return self._metered("getFeed", at), self.stock.feed(feed_id, at)
            case ("GET", ("sellers", "v1", "marketplaceParticipations")):
                return self._metered("getMarketplaceParticipations", at), self._participations()
            case _:
                raise Fault(404, "NotFound", "There is nothing here.")

    def _metered(self, operation: str, at: datetime) -> str:
        if self.behaviour.throttles:
            self._meter.spend(operation, at)
        return operation

    # Who calls

    def _token(self, request: Request, at: datetime) -> Shaped:
        form = dict(parse_qsl(request.body.decode()))
        secret = (form.get("client_id"), form.get("client_secret"))
        if secret != (self.behaviour.client_id, self.behaviour.client_secret):
            return answer(
                {"error": "invalid_client", "error_description": "Client authentication failed"}, 401
            )
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self._refresh:
            return answer({"error": "invalid_grant", "error_description": "The grant is not valid"}, 400)
        if self.behaviour.rotates_refresh_token:
            self._refresh = f"{self.behaviour.refresh_token}-{len(self._tokens) + 1}"
        token = f"sandbox-access-{len(self._tokens) + 1}"
        self._tokens[token] = at + timedelta(seconds=self.behaviour.token_seconds)
        body = {"access_token": token, "token_type": "bearer", "refresh_token": self._refresh}
        return answer({**body, "expires_in": int(self.behaviour.token_seconds)})

    def expire_tokens(self, now: datetime) -> None:
        self._tokens = dict.fromkeys(self._tokens, self.world.clock(now))

    def revoke(self) -> None:
        """The seller withdraws the application's authorisation."""
        self._refresh = ""

    def issued(self) -> Sequence[str]:
        return (self.behaviour.refresh_token, *self._tokens)

    def _authorise(self, request: Request, at: datetime) -> None:
        until = self._tokens.get(headers_of(request).get("x-amz-access-token", ""))
        if until is None or at >= until or self.behaviour.forbids:
            details = "" if until is None else "The access token you provided has expired."
            raise Fault(403, "Unauthorized", "Access to requested resource is denied.", details)

    def _participations(self) -> Shaped:
        stores = [(name, STORES[name]) for name in self.behaviour.marketplace_ids]
        payload = [
            {
                "marketplace": {
                    "id": name, "name": f"Amazon {store.country}", "countryCode": store.country,
                    "defaultCurrencyCode": store.currency, "defaultLanguageCode": "en_US", "domainName": "amazon.example",
                },
                "participation": {"isParticipating": True, "hasSuspendedListings": False},
                "storeName": "Sandbox store",
            }
            for name, store in stores
        ]  # fmt: skip
        return answer({"payload": payload})

    # Reading

    def _search(self, request: Request, at: datetime) -> Shaped:
        query = query_of(request)
        only(query, *_AXES, *_AXES.values(), "marketplaceIds", "fulfillmentStatuses", "fulfilledBy", "includedData",
             "maxResultsPerPage", "paginationToken")  # fmt: skip
        if self.behaviour.html_page:
            return 200, {"content-type": "text/html"}, _LOGIN_PAGE
        lower, low, high = self._bounds(query, at)
        size = query.get("maxResultsPerPage", "100")
        if not size.isdigit() or not 1 <= int(size) <= LIST_MAX:
            raise invalid("maxResultsPerPage is out of range.")
        included = _included(query)
        found = [order for order in self.world.listed.all(at) if _is_within(order, lower, low, high, query)]
        # No order is promised, and none is kept from call to call.
        found.sort(key=lambda order: share(f"{order.order_id} {at}"))
        start = _start(query)
        page = found[start : start + int(size)]
        every = self.behaviour.short_page_every
        if every and len(page) > 1 and share(f"{request.url} {at}") < 1 / every:
            page = page[: len(page) // 2]
        body: dict[str, Any] = {"orders": [order_json(x, self.shown_as(x), included) for x in page]}
        if start + len(page) < len(found):
            body["pagination"] = {"nextToken": _token_of(query, start + len(page))}
        body[_AXES[lower]] = stamp(high)
        status, headers, shown = answer(body)
        return status, headers, shown[: len(shown) // 2] if self.behaviour.malformed_page else shown

    def _bounds(self, query: Mapping[str, str], at: datetime) -> tuple[str, datetime, datetime]:
        given = [name for name in _AXES if name in query]
        if len(given) != 1:
            raise invalid("Exactly one of createdAfter and lastUpdatedAfter is needed.")
        lower = given[0]
        other = next(upper for name, upper in _AXES.items() if name != lower)
        if other in query:
            raise invalid(f"{other} does not go with {lower}.")
        low, high = moment(query, lower), moment(query, _AXES[lower])
        latest = at - timedelta(seconds=BEHIND_SECONDS)
        high = latest if high is None else high
        if low is None or high < low or high > latest:
            raise invalid(f"{_AXES[lower]} must be after {lower} and two minutes before now.")
        return lower, low, high

    def _get(self, request: Request, order_id: str, at: datetime) -> Shaped:
        query = query_of(request)
        only(query, "includedData")
        included = _included(query)
        order = self.world.by_id(order_id, at)
        if order is None:
            raise Fault(404, "NotFound", "The requested order was not found.")
        return answer({"order": order_json(order, self.shown_as(order), included)})

    def shown_as(self, order: SoldOrder) -> Behaviour:
        spoilt = self.spoilt.get(order.order_id)
        return replace(self.behaviour, **spoilt) if spoilt else self.behaviour

    # Writing

    def _confirm(self, request: Request, order_id: str, at: datetime) -> Shaped:
        order = self.world.orders.get(order_id)
        if order is None:
            raise Fault(404, "NotFound", "The requested order was not found.")
        body = body_of(request)
        if text_of(body, "marketplaceId") != order.marketplace_id:
            raise invalid("The order was not placed in this store.")
        package = package_of(body.get("packageDetail"), at)
        if order.state != "UNSHIPPED" or order.by_amazon:
            raise invalid(f"The order can not be confirmed: it is {order.state}.")
        held = next((x for x in order.packages if x.reference == package.reference), None)
        self._check_units(order, package, held)
        if self._swallowed("confirm", order_id):
            self.unconfirmed.append((order_id, package))
        else:
            self.world.confirm(order, package)
        return 204, {}, b""

    def _check_units(self, order: SoldOrder, package: Package, held: Package | None) -> None:
        others = replace(order, packages=tuple(x for x in order.packages if x is not held))
        lines = {line.item_id: line for line in order.lines}
        if held is None and not any(others.left(line) for line in order.lines):
            raise invalid(FULFILLED)
        for item_id, count in package.lines:
            line = lines.get(item_id)
            if line is None or count > others.left(line):
                raise invalid("The item or its quantity is not of this order.")

    def _patch(self, request: Request, seller_id: str, sku: str, at: datetime) -> Shaped:
        query = query_of(request)
        only(query, "marketplaceIds", "includedData", "mode", "issueLocale")
        stores = set(filter(None, query.get("marketplaceIds", "").split(",")))
        if not stores or not stores <= set(self.behaviour.marketplace_ids):
            raise invalid("marketplaceIds is missing or names another account's store.")
        if seller_id != self.behaviour.seller_id:
            raise Fault(403, "Unauthorized", "Access to requested resource is denied.")
        return self.stock.patch(request, sku, at)


def _included(query: Mapping[str, str]) -> frozenset[str]:
    chosen = frozenset(filter(None, query.get("includedData", "").split(",")))
    if not chosen <= set(INCLUDED):
        raise invalid("includedData has a value that is not known.")
    return chosen


def _is_within(order: SoldOrder, lower: str, low: datetime, high: datetime, query: Mapping[str, str]) -> bool:
    by = "AMAZON" if order.by_amazon else "MERCHANT"
    axis = order.updated if lower == "lastUpdatedAfter" else order.created
    wanted = {"marketplaceIds": order.marketplace_id, "fulfilledBy": by, "fulfillmentStatuses": order.status}
    return low <= axis <= high and all(
        value in query[name].split(",") for name, value in wanted.items() if query.get(name)
    )


def _token_of(query: Mapping[str, str], start: int) -> str:
    rest = "&".join(f"{name}={query[name]}" for name in sorted(query) if name != "paginationToken")
    return base64.urlsafe_b64encode(f"{start} {rest}".encode()).decode()


def _start(query: Mapping[str, str]) -> int:
    """A token goes on with the very query that it came from."""
    if "paginationToken" not in query:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(query["paginationToken"]).decode().split(" ", 1)[0])
    except ValueError:
        raise invalid("paginationToken is not valid.") from None
    if _token_of(query, start) != query["paginationToken"]:
        raise invalid("paginationToken is not valid.")
    return start
