"""Shopify's one address as we use it: what its errors mean, most of them under HTTP 200, and the pace that it tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

import msgspec

from adapters.shopify.operations import FIND, ORDER
from adapters.shopify.settings import Settings
from adapters.shopify.wire import Card, FindData, HeldOrder, OrderData, Reply, gid, number_of
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Answer, Call, Http, Operation, decode
from marketsync.ports import Departure

T = TypeVar("T")
MEBIBYTE = 1024 * 1024
# Below so many points nothing leaves until there are as many again: the dearest of our calls costs less.
RESERVE_POINTS = 200.0
WAIT_MIN_SECONDS, WAIT_MAX_SECONDS = 1.0, 60.0
CREATES_HELD_SECONDS = 60.0
UNSTARTED = frozenset(("BAD_REQUEST", "INVALID_VARIABLE", "INVALID_FIELD_ARGUMENTS", "MAX_COST_EXCEEDED"))
"""Codes of errors that Shopify finds before it does anything, also where it answers `data: null`."""
LATE = frozenset(("INTERNAL_SERVER_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE"))
METERED = ("orders.read", "orders.create")
"""One operation of each budget: points are one account for all."""
OPERATIONS = (
    Operation("orders.create", "orders", total_seconds=60.0),
    *(
        Operation(name, "api", total_seconds=60.0, body_bytes_max=16 * MEBIBYTE)
        for name in ("orders.update", "orders.cancel", "orders.read", "orders.edit", "shipments.read", "articles.read")
    ),
    *(Operation(name, "api") for name in ("shop.read", "stock.read", "stock.sweep")),
    Operation("stock.file", "api", total_seconds=120.0, body_bytes_max=256 * MEBIBYTE),
)  # fmt: skip


ADJUSTING = Operation("stock.adjust", "api")
"""Only where adjustments are offered."""


class Api:
    def __init__(self, http: Http, settings: Settings) -> None:
        self._http, self._settings = http, settings

    async def read(self, operation: str, document: str, shape: type[Reply[T]], **variables: Any) -> T:
        """What a query brings, whole: an answer with errors brings nothing."""
        try:
            answer = await self._http.read(_call(operation, document, variables))
        except Refused as refused:
            _refused(refused, write=False)
        reply = decode(answer, shape, write=False)
        self._pace(operation, reply)
        if reply.codes:
            _failed(operation, reply)
        if reply.data is None or isinstance(reply.data, msgspec.UnsetType):
            raise ReadFailed(f"{operation}: an answer without data")
        return reply.data

    async def write(
        self, operation: str, document: str, shape: type[Reply[T]], departure: Departure, **variables: Any
    ) -> T:
        """The data of one mutation, errors beside it or not: what it was for may have happened either way.

        Without data: Retry, Park or PauseConnection where nothing was executed, else InDoubt.
        """
        try:
            answer = await self._http.write(_call(operation, document, variables), departure)
        except Refused as refused:
            _refused(refused, write=True)
        reply = decode(answer, shape, write=True)
        self._pace(operation, reply)
        if isinstance(reply.data, msgspec.Struct) and any(
            getattr(reply.data, name) is not None for name in reply.data.__struct_fields__
        ):
            return reply.data
        raise _unanswered(operation, reply)

    async def file(self, operation: str, url: str) -> Answer:
        return await self._http.transfer(operation, "GET", url)

    async def order(self, remote_id: str) -> HeldOrder | None:
        """None where the shop knows no such order, or it is older than the app may read."""
        names = {"namespace": self._settings.namespace, "key": self._settings.reference_key}
        data = await self.read("orders.read", ORDER, Reply[OrderData], id=gid("Order", remote_id), **names)
        return data.order

    async def find(self, ref: str, order_id: str) -> tuple[Sequence[Card], bool]:
        """What the shop has under our reference or the marketplace's order id, and whether that is all of it."""
        search = f"source_identifier:{_quoted(ref)} OR po_number:{_quoted(order_id)}"
        names = {"namespace": self._settings.namespace, "key": self._settings.reference_key}
        data = await self.read("orders.read", FIND, Reply[FindData], value=ref, search=search, **names)
        named = [data.order_by_identifier] if data.order_by_identifier else []
        cards = {card.id: card for card in (*named, *data.orders.nodes)}
        if not all(map(number_of, cards)):
            raise ReadFailed("orders.read: an order without a number")
        return list(cards.values()), not data.orders.page_info.has_next_page

    def hold_creates(self, operation: str) -> NoReturn:
        """The cap of development stores: it is told as a user error, and no points are missing."""
        self._http.hold(operation, CREATES_HELD_SECONDS)
        raise Retry(
            f"{operation}: the shop takes no more orders this minute", CREATES_HELD_SECONDS, counted=False
        )

    def _pace(self, operation: str, reply: Reply[Any]) -> None:
        """Each answer tells what is left of the points; a throttled one says so under HTTP 200, and nothing was done."""
        cost = reply.extensions.cost if reply.extensions else None
        status = cost.throttle_status if cost else None
        throttled = "THROTTLED" in reply.codes
        seconds = 0.0
        if cost is not None and status is not None and status.restore_rate > 0:
            reserve = min(RESERVE_POINTS, status.maximum_available / 5)
            wanted = max(reserve, (cost.requested_query_cost or 0.0) if throttled else 0.0)
            seconds = (wanted - status.currently_available) / status.restore_rate
        if throttled:
            seconds = max(seconds, WAIT_MIN_SECONDS)
        if seconds <= 0:
            return
        seconds = min(seconds, WAIT_MAX_SECONDS)
        for metered in METERED:
            self._http.hold(metered, seconds)
        if throttled:
            raise Retry(f"{operation}: throttled", max(seconds, WAIT_MIN_SECONDS), counted=False)


def _call(operation: str, document: str, variables: dict[str, Any]) -> Call:
    body = msgspec.json.encode({"query": document, "variables": variables})
    return Call(operation, "POST", "/graphql.json", body=body)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _failed(operation: str, reply: Reply[Any]) -> NoReturn:
    if "ACCESS_DENIED" in reply.codes:
        raise PauseConnection(
            f"{operation}: the app may not read this: compare its scopes with those of `check`"
        )
    raise ReadFailed(f"{operation}: errors in the answer ({_codes(reply)})")


def _unanswered(operation: str, reply: Reply[Any]) -> MarketsyncError:
    codes = frozenset(reply.codes)
    if "ACCESS_DENIED" in codes:
        return PauseConnection(
            f"{operation}: the app may not write this: compare its scopes with those of `check`"
        )
    unstarted = isinstance(reply.data, msgspec.UnsetType) and not codes & LATE
    if codes and (unstarted or codes <= UNSTARTED):
        return Park(f"{operation} was refused before it began ({_codes(reply)})")
    return InDoubt(f"{operation}: an answer without what was asked for ({_codes(reply)})")


def _codes(reply: Reply[Any]) -> str:
    return ", ".join(dict.fromkeys(code or "no code" for code in reply.codes[:5])) or "no error"


def _refused(refused: Refused, *, write: bool) -> NoReturn:
    match refused.status:
        case 402 | 423:
            raise PauseConnection(f"the shop is frozen or locked (HTTP {refused.status})") from refused
        case 404:
            raise PauseConnection("no such shop, or its API version is over (HTTP 404)") from refused
        case 403:
            raise Retry(f"{refused.operation}: not let through (HTTP 403)") from refused
        case _ if write:
            raise Park(f"{refused.operation} was refused with HTTP {refused.status}") from refused
        case _:
            raise ReadFailed(f"{refused.operation}: HTTP {refused.status}") from refused
