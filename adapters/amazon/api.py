"""Amazon's calls in our terms: where they go, what their refusals mean, and how a page of orders is cut."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from adapters.amazon import wire
from marketsync.domain.ids import OrderId
from marketsync.errors import InDoubt, Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Answer, Call, Http, decode, segment
from marketsync.http.documents import Pages
from marketsync.ports import Clock, Departure, OrderPage, RawOrder

ORDERS = "/orders/2026-01-01/orders"
# The list and the read by id say the same of an order only if they are asked for the same.
INCLUDED = "BUYER,RECIPIENT,PROCEEDS,CANCELLATION,FULFILLMENT,TAX"
PACKAGES = "FULFILLMENT,PACKAGES"
# Amazon was seen to refuse good tokens for 25 minutes, everybody's at once.
FORBIDDEN_SECONDS = 3600.0
FORBIDDEN_RETRY_SECONDS = 120.0
PROBLEM_BYTES_MAX = 64 * 1024
PAGES = Pages(rows="orders", row_id="orderId")
_ALREADY = re.compile(rb"PackageToUpdateNotFound|already fulfilled", re.IGNORECASE)
_HOLDER = re.compile(rb'\s*\{\s*"order"\s*:\s*(\{.*\})\s*\}\s*', re.DOTALL)

Query = tuple[tuple[str, str], ...]


class Api:
    """One account's calls. Remembers since when each was forbidden without end."""

    def __init__(self, http: Http, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._forbidden_since: dict[str, float] = {}

    async def read(
        self, operation: str, path: str, query: Query = (), *, method: str = "GET", body: bytes = b""
    ) -> Answer:
        """Also for a POST that changes nothing that anybody sees. Refused where Amazon says no."""
        try:
            answer = await self._http.read(Call(operation, method, path, query, body))
        except Refused as refused:
            self._judge_forbidden(refused)
            raise
        self._forbidden_since.pop(operation, None)
        return answer

    async def write(
        self, operation: str, method: str, path: str, body: object, departure: Departure, query: Query = ()
    ) -> Answer:
        """One request. A refusal is certain, and its code is what a person may see of it."""
        call = Call(operation, method, path, query, msgspec.json.encode(body))
        try:
            answer = await self._http.write(call, departure)
        except Refused as refused:
            self._judge_forbidden(refused)
            raise
        self._forbidden_since.pop(operation, None)
        return answer

    async def orders(self, bounds: Query, marketplace_ids: tuple[str, ...]) -> OrderPage:
        """No filter of state or of who ships (B6). A page token is never used: windows are split instead."""
        chosen = (*bounds, ("marketplaceIds", ",".join(marketplace_ids)), ("maxResultsPerPage", "100"))
        answer = await self.read("searchOrders", ORDERS, (*chosen, ("includedData", INCLUDED)))
        orders, more = split_page(answer.body)
        return OrderPage(orders, None, answer.server_date, more)

    async def order(self, order_id: OrderId) -> tuple[RawOrder | None, datetime | None]:
        """None where there is no such order (any more)."""
        answer = await self._get(order_id, INCLUDED)
        return (None, None) if answer is None else (split_order(answer.body), answer.server_date)

    async def packages(self, order_id: OrderId) -> wire.Packaged | None:
        answer = await self._get(order_id, PACKAGES)
        found = None if answer is None else decode(answer, wire.PackagedHolder, write=False).order
        if found is not None and found.order_id != order_id:
            raise ReadFailed("getOrder answered with another order")
        return found

    def server_now(self) -> datetime:
        return self._http.server_now() or self._clock.now()

    async def _get(self, order_id: OrderId, included: str) -> Answer | None:
        path = f"{ORDERS}/{segment(order_id)}"
        try:
            return await self.read("getOrder", path, (("includedData", included),))
        except Refused as refused:
            if refused.status == 404 and code_of(refused.body):
                return None
            raise

    def _judge_forbidden(self, refused: Refused) -> None:
        """A token that was renewed and is refused again: a role is missing, or Amazon has one of its storms."""
        if refused.status != 403:
            return
        now = self._clock.monotonic()
        since = self._forbidden_since.setdefault(refused.operation, now)
        reason = (
            f"{refused.operation}: Amazon forbids it (HTTP 403 {code_of(refused.body) or 'without a code'})"
        )
        if now - since < FORBIDDEN_SECONDS:
            raise Retry(reason, FORBIDDEN_RETRY_SECONDS, counted=False) from refused
        help_text = (
            "look at the application's roles and the seller's authorisation, then resume the connection"
        )
        raise PauseConnection(f"{reason}: {help_text}") from refused


def refusal(refused: Refused) -> Park:
    return Park(f"{refused.operation} was refused: {code_of(refused.body) or f'HTTP {refused.status}'}")


def code_of(body: bytes) -> str:
    """The vendor's error code, and never its text: texts may quote a buyer."""
    try:
        problems = msgspec.json.decode(body[:PROBLEM_BYTES_MAX], type=wire.Problems)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    code = next((problem.code for problem in problems.errors or () if problem.code), "")
    return shown_code(code)


def shown_code(code: str | None) -> str:
    return code if code and re.fullmatch(r"[A-Za-z0-9_.-]{2,60}", code) else ""


def is_already_fulfilled(body: bytes) -> bool:
    """There is no code for it; this much of the text decides nothing but that we look."""
    return _ALREADY.search(body[:PROBLEM_BYTES_MAX]) is not None


def split_page(body: bytes) -> tuple[tuple[RawOrder, ...], bool]:
    """The orders of a list, and whether it says that it has more; raises ReadFailed where it is no such answer."""
    try:
        page = msgspec.json.decode(body, type=wire.Page)
        orders = tuple(PAGES.named(bytes(raw)) for raw in page.orders)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        orders, rest = PAGES.cut(body)
        page = _beside(rest)
    return orders, page.pagination is not None and bool(page.pagination.next_token)


def _beside(rest: bytes) -> wire.Page:
    try:
        return msgspec.json.decode(rest, type=wire.Page)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ReadFailed("the order list is not the JSON that the contract describes") from None


def split_order(body: bytes) -> RawOrder:
    """The one order of a getOrder answer."""
    try:
        return PAGES.named(bytes(msgspec.json.decode(body, type=wire.Holder).order))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _HOLDER.fullmatch(body)
    if found is None:
        raise ReadFailed("the order is not the JSON that the contract describes")
    return PAGES.named(found.group(1))


def usable_id(name: str, operation: str) -> str:
    """An id that Amazon gave, before it becomes a part of a path. InDoubt: the write that it answers has left."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,254}", name):
        raise InDoubt(f"{operation} answered with an id that is none")
    return name
