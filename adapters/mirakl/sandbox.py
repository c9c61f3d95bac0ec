"""A Mirakl marketplace to rehearse with: a stateful, pure server of the calls that the adapter makes (D12).

The same request at the same time on the same history gives the same answer. Faults of the network are not its
business; those of the vendor are, by `Behaviour`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec.structs import replace

from adapters.mirakl.sandbox_http import (
    JSON,
    Fault,
    Query,
    answer,
    body_of,
    expect,
    link_header,
    moment,
    number,
    stock_rows,
)
from adapters.mirakl.sandbox_json import carriers_json, order_json, parcel_json, platform_json
from adapters.mirakl.sandbox_world import (
    CARRIERS,
    Behaviour,
    Parcel,
    SoldOrder,
    StockImport,
    Units,
    World,
)
from marketsync.ports import Request, Response
from marketsync.sandbox.books import Account

LIST_MAX = 100
# A limiter that counts whole seconds lets a caller through that is a fraction early.
THROTTLE_GRACE_SECONDS = 1.0
_LOGIN_PAGE = b"<!doctype html><title>Sign in</title><form method=post>...</form>"


class MiraklSandbox(Account[Behaviour, SoldOrder]):
    """One shop on one marketplace. Two `shipped` of one order in its log, or two `parcel` of one, would be a duplicate."""

    world: World

    def __init__(
        self,
        offers: Mapping[str, int],
        behaviour: Behaviour | None = None,
        prices: Mapping[str, Decimal] | None = None,
    ) -> None:
        super().__init__(World(offers, behaviour or Behaviour(), prices or {}))
        self._last_call: dict[str, datetime] = {}

    @property
    def offers(self) -> Mapping[str, int]:
        """What is listed now."""
        return self.world.offers

    def units_sold(self, sku: str) -> int:
        """Units that buyers still want or have; what this passes of the shop's stock is oversold."""
        lines = (line for order in self.world.orders.values() for line in order.lines)
        return sum(line.wanted for line in lines if line.sku == sku)

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        """A buyer orders (sku, quantity); None where the listing has not that many left."""
        at = self.arrive(now)
        order = self.world.place(at, lines)
        return None if order is None else order.order_id

    def cancel_order(self, now: datetime, order_id: str, *, by: str = "buyer") -> bool:
        at = self.arrive(now)
        return self.world.cancel(self.world.orders[order_id], at, f"cancelled_by_{by}") is not None

    def cancel_units(self, now: datetime, order_id: str, line_id: str, quantity: int) -> None:
        """The operator takes units off a line that has not been shipped."""
        self._part(now, order_id, line_id, quantity, "cancelations")

    def refund_units(self, now: datetime, order_id: str, line_id: str, quantity: int) -> None:
        self._part(now, order_id, line_id, quantity, "refunds")

    def receive(self, now: datetime, order_id: str, *, closed: bool = False) -> None:
        """The buyer has the goods; later the operator closes the order."""
        at = self.arrive(now)
        state = "CLOSED" if closed else "RECEIVED"
        order = self.world.orders[order_id]
        lines = tuple(replace(x, state=state) if x.state == "SHIPPED" else x for x in order.lines)
        self.world.put(replace(order, state=state, lines=lines), at)

    def handle(self, request: Request, now: datetime) -> Response:
        """`received_at` is left to the transport."""
        at = self.arrive(now)
        headers = {"date": format_datetime(at.replace(microsecond=0), usegmt=True)}
        try:
            status, more, body = self._route(request, at)
        except Fault as fault:
            status, body = fault.status, self._fault_body(fault)
            more = {"content-type": "application/json"}
            if fault.retry_after is not None:
                more["retry-after"] = str(fault.retry_after)
        return Response(status=status, headers={**headers, **more}, body=body, received_at=0.0)

    def _part(self, now: datetime, order_id: str, line_id: str, quantity: int, kind: str) -> None:
        at = self.arrive(now)
        order = self.world.orders[order_id]
        part = Units(f"{kind[0]}{len(self.world.log) + 1}", quantity, at.replace(microsecond=0))
        lines = tuple(
            replace(x, **{kind: (*getattr(x, kind), part)}) if x.line_id == line_id else x
            for x in order.lines
        )
        self.world.record(at, kind, order_id, f"{line_id}:{quantity}")
        self.world.put(replace(order, lines=lines), at)

    def _route(self, request: Request, at: datetime) -> tuple[int, dict[str, str], bytes]:  # noqa: PLR0912 - one arm a call
        parts = urlsplit(request.url)
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        self._authorise(request, query)
        path = tuple(unquote(piece) for piece in parts.path.split("/api/", 1)[-1].split("/"))
        match (request.method, path):
            case ("GET", ("orders",)):
                return self._list_orders(query, at, parts.path)
            case ("PUT", ("orders", order_id, "accept")):
                if not self._swallowed("accept", order_id):
                    self._accept(self._order(order_id), body_of(request), at)
                return 204, {}, b""
            case ("PUT", ("orders", order_id, "tracking")):
                self._track(self._order(order_id), body_of(request), at)
                return 204, {}, b""
            case ("PUT", ("orders", order_id, "ship")):
                order = self._order(order_id)
                expect(order, "SHIPPING")
                if not self._swallowed("confirm", order_id):
                    self.world.ship(order, at)
                return 204, {}, b""
            case ("POST", ("shipments",)):
                return answer(self._create_parcels(body_of(request), at), 201)
            case ("GET", ("shipments",)):
                return answer(self._list_parcels(query, at))
            case ("POST", ("offers", "stock", "imports")):
                return self._import_stock(request, at)
            case ("GET", ("offers", "stock", "imports", import_id, leaf)):
                return self._import_leaf(import_id, leaf, at)
            case ("GET", ("platform", "configuration")):
                return answer(platform_json(self.behaviour))
            case ("GET", ("shipping", "carriers")):
                return answer(carriers_json())
            case _:
                raise Fault(404, "NOT_FOUND", "there is nothing here")

    def _authorise(self, request: Request, query: Query) -> None:
        headers = {name.lower(): value for name, value in request.headers}
        if headers.get("authorization") != self.behaviour.api_key:
            raise Fault(401, "UNAUTHORIZED", "the key is not valid")
        shop = query.get("shop_id", [str(self.behaviour.shop_id)])[0]
        if shop != str(self.behaviour.shop_id):
            raise Fault(403, "FORBIDDEN", "the key does not belong to this shop")

    def _throttle(self, name: str, at: datetime, seconds: float) -> None:
        last = self._last_call.get(name)
        if self.behaviour.throttles and last is not None:
            left = seconds - (at - last).total_seconds()
            if left > THROTTLE_GRACE_SECONDS:
                raise Fault(429, "TOO_MANY_REQUESTS", "called too often", retry_after=math.ceil(left))
        self._last_call[name] = at

    def _order(self, order_id: str) -> SoldOrder:
        order = self.world.orders.get(order_id)
        if order is None:
            raise Fault(404, "ORDER_NOT_FOUND", "there is no such order")
        return order

    def _list_orders(self, query: Query, at: datetime, path: str) -> tuple[int, dict[str, str], bytes]:
        self._throttle("orders", at, self.behaviour.order_list_seconds)
        if self.behaviour.html_page:
            return 200, {"content-type": "text/html"}, _LOGIN_PAGE
        offset, size = number(query, "offset", 0, 0, 10**9), number(query, "max", 10, 1, LIST_MAX)
        mode = query.get("order_tax_mode", ["TAX_INCLUDED"])[0]
        if (
            mode not in {"TAX_INCLUDED", "TAX_EXCLUDED"}
            or query.get("sort", ["dateCreated"])[0] != "dateCreated"
        ):
            raise Fault(400, "VALIDATION_ERROR", "a parameter has a value that is not known")
        found = self._matching(query, at)
        if query.get("order", ["asc"])[0] == "desc":
            found.reverse()
        paged = query.get("paginate", ["true"])[0] != "false"
        page = found[offset : offset + size] if paged else found
        orders = [order_json(order, mode, self._shown_as(order)) for order in page]
        body = JSON.encode({"orders": orders, "total_count": len(found)})
        headers = {"content-type": "application/json"}
        if paged and (links := link_header(path, query, offset, size, len(found))):
            headers["link"] = links
        return 200, headers, body[: len(body) // 2] if self.behaviour.malformed_page else body

    def _shown_as(self, order: SoldOrder) -> Behaviour:
        spoilt = self.spoilt.get(order.order_id)
        return replace(self.behaviour, **spoilt) if spoilt else self.behaviour

    def _matching(self, query: Query, at: datetime) -> list[SoldOrder]:
        ids = query.get("order_ids", [""])[0]
        if len(wanted := [x for x in ids.split(",") if x]) > LIST_MAX:
            raise Fault(400, "VALIDATION_ERROR", "too many order ids")
        delta = timedelta(seconds=self.behaviour.update_delta_seconds)
        low, high = moment(query, "start_date"), moment(query, "end_date")
        first, last = moment(query, "start_update_date"), moment(query, "end_update_date")
        return [
            order
            for order in self.world.visible(at)
            if (not wanted or order.order_id in wanted)
            and (low is None or order.created >= low)
            and (high is None or order.created <= high)
            and (first is None or order.updated >= first - delta)
            and (last is None or order.updated <= last)
        ]

    def _accept(self, order: SoldOrder, body: Any, at: datetime) -> None:
        expect(order, "WAITING_ACCEPTANCE")
        stated = body.get("order_lines") or []
        if any(line is None for line in stated):
            raise Fault(400, "ORDER_LINE_NULL_ELEMENT", "a line is null")
        ids = [line["id"] for line in stated]
        known = {line.line_id for line in order.lines}
        if len(set(ids)) != len(ids):
            raise Fault(400, "ORDER_LINE_DUPLICATE_ID", "a line is named twice")
        if not set(ids) <= known:
            raise Fault(400, "ORDER_LINE_NOT_FOUND", "a line is not of this order")
        if set(ids) != known:
            raise Fault(400, "ORDER_LINE_ACCEPTANCE_DECISION_MISSING", "a line has no decision")
        accepted = [line["id"] for line in stated if line["accepted"]]
        if 0 < len(accepted) < len(ids) and not self.behaviour.partial_acceptance:
            raise Fault(400, "ORDER_PARTIAL_ACCEPTANCE_DISABLED", "all lines or none")
        self.world.decide(order, accepted, at, "accepted" if accepted else "refused")

    def _track(self, order: SoldOrder, body: Any, at: datetime) -> None:
        expect(order, "SHIPPING", "SHIPPED", "TO_COLLECT")
        self._check_carrier(body)
        code, number = body.get("carrier_code") or "", body.get("tracking_number") or ""
        name = CARRIERS.get(code) or body["carrier_name"]
        url = f"https://{code.lower()}.example/track?n={number}" if code else body.get("carrier_url") or ""
        tracked = replace(
            order, carrier_code=code, carrier_name=name, tracking_number=number, tracking_url=url
        )
        self.world.record(at, "tracked", order.order_id, number)
        self.world.put(tracked, at)

    def _check_carrier(self, tracking: Any) -> None:
        code = tracking.get("carrier_code")
        if code:
            if code not in CARRIERS:
                raise Fault(400, "CARRIER_NOT_FOUND", "there is no such carrier")
            if not tracking.get("tracking_number"):
                raise Fault(400, "TRACKING_NUMBER_REQUIRED", "this carrier's link needs a tracking number")
        elif not tracking.get("carrier_name"):
            raise Fault(400, "VALIDATION_ERROR", "a carrier is needed")
        elif not self.behaviour.other_carriers:
            raise Fault(400, "CARRIER_NOT_ALLOWED", "only registered carriers are allowed here")

    def _create_parcels(self, body: Any, at: datetime) -> dict[str, Any]:
        if not self.behaviour.multi_shipment:
            raise Fault(403, "MULTI_SHIPMENT_DISABLED", "this marketplace ships an order as a whole")
        made, errors = [], []
        for stated in body["shipments"][:1000]:
            try:
                made.append(parcel_json(self._create_parcel(stated, at)))
            except Fault as fault:
                errors.append({"order_id": stated["order_id"], "message": fault.message})
        return {"shipment_success": made, "shipment_errors": errors}

    def _create_parcel(self, stated: Any, at: datetime) -> Parcel:
        order = self._order(stated["order_id"])
        expect(order, "SHIPPING")
        if stated.get("tracking"):
            self._check_carrier(stated["tracking"])
        left = {line.line_id: line.wanted - line.shipped for line in order.lines}
        by_sku = {line.sku: line.line_id for line in order.lines}
        lines = []
        for line in stated["shipment_lines"]:
            line_id = line.get("order_line_id") or by_sku.get(line.get("offer_sku", ""), "")
            if not 0 < line["quantity"] <= left.get(line_id, 0):
                raise Fault(400, "QUANTITY", "the shipment's quantity is not possible")
            left[line_id] -= line["quantity"]
            lines.append((line_id, line["quantity"], line.get("package_reference") or ""))
        name = f"00000000-0000-4000-8000-{len(self.world.parcels) + 1:012d}"
        shipped = bool(stated.get("shipped"))
        tracking = stated.get("tracking") or {}
        parcel = Parcel(name, order.order_id, at.replace(microsecond=0), tuple(lines), shipped, tracking)
        self.world.add_parcel(parcel, order)
        return parcel

    def _list_parcels(self, query: Query, at: datetime) -> dict[str, Any]:
        """Pages by a token, as the vendor does here and not in the order list."""
        lag = timedelta(seconds=self.behaviour.visibility_lag_seconds)
        wanted = query.get("order_id", ())
        parcels = [p for p in self.world.parcels.values() if p.at + lag <= at]
        found = [p for p in parcels if not wanted or p.order_id in wanted]
        start, size = number(query, "page_token", 0, 0, 10**9), number(query, "limit", 10, 1, LIST_MAX)
        body: dict[str, Any] = {"data": [parcel_json(p) for p in found[start : start + size]]}
        if len(found) > start + size:
            body["next_page_token"] = str(start + size)
        return body

    def _import_stock(self, request: Request, at: datetime) -> tuple[int, dict[str, str], bytes]:
        self._throttle("stock_import", at, self.behaviour.stock_import_seconds)
        import_id = str(len(self.world.imports) + 1)
        done_at = at + timedelta(seconds=self.behaviour.import_takes_seconds)
        rows = () if self._swallowed("stock", import_id) else stock_rows(request)
        self.world.imports[import_id] = StockImport(import_id, at, done_at, rows)
        status, headers, body = answer({"import_id": import_id}, 201)
        return status, {**headers, "location": f"/api/offers/stock/imports/{import_id}/status"}, body

    def _import_leaf(self, import_id: str, leaf: str, at: datetime) -> tuple[int, dict[str, str], bytes]:
        started = self.world.imports.get(import_id)
        if started is None or leaf not in {"status", "error_report"}:
            raise Fault(404, "NOT_FOUND", "there is no such import")
        if leaf == "error_report":
            text = io.StringIO(newline="")
            rows = csv.writer(text, delimiter=";", quoting=csv.QUOTE_ALL)
            rows.writerow(("line", "reason", "offer-sku", "quantity", "warehouse-code", "update-delete"))
            rows.writerows((*error, "", "") for error in started.errors)
            return 200, {"content-type": "text/csv;charset=UTF-8"}, text.getvalue().encode()
        self._throttle(f"import {import_id}", at, 15.0)
        half = started.at + (started.done_at - started.at) / 2
        state = "COMPLETE" if started.applied else "RUNNING" if at >= half else "WAITING"
        body = {
            "import_id": import_id,
            "shop_id": self.behaviour.shop_id,
            "status": state,
            "date_created": started.at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z",
            "has_error_report": bool(started.errors),
            "lines_in_error": len(started.errors),
            "lines_in_success": len(started.rows) - len(started.errors) if started.applied else 0,
        }
        return answer(body)

    def _fault_body(self, fault: Fault) -> bytes:
        """Operators answer in one of two shapes."""
        if self.behaviour.errors_have_codes:
            return JSON.encode({"code": fault.code, "message": fault.message, "status": fault.status})
        return JSON.encode({"status": fault.status, "message": fault.message})
