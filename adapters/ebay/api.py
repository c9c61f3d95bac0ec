"""eBay's calls in our terms: what a refusal means, and what is left out of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from adapters.ebay import wire
from adapters.ebay.mapping import PAGES
from marketsync.domain.ids import OrderId
from marketsync.errors import InDoubt, PauseConnection, Refused
from marketsync.http import Answer, Call, Http, decode, segment
from marketsync.ports import Departure, RawOrder

PAGE_SIZE = 200
ORDERS = "/sell/fulfillment/v1/order"
INVENTORY = "/sell/inventory/v1"
PUBLIC_KEYS = "/commerce/notification/v1/public_key"
INVALID_ORDER_ID = 32100

Query = tuple[tuple[str, str], ...]
# Without it the total leaves out what eBay collects and remits: so it is asked for wherever an order is read.
BREAKDOWN = ("fieldGroups", "TAX_BREAKDOWN")


class Api:
    def __init__(self, http: Http) -> None:
        self._http = http

    def server_now(self) -> datetime | None:
        return self._http.server_now()

    async def read(self, operation: str, path: str, query: Query = ()) -> Answer:
        try:
            return await self._http.read(Call(operation, "GET", path, query=query))
        except Refused as refused:
            pause_if_forbidden(refused)
            raise

    async def write(self, operation: str, path: str, departure: Departure, body: msgspec.Struct) -> Answer:
        """One request. A refusal is left to the writer, but for one of our rights."""
        call = Call(operation, "POST", path, body=msgspec.json.encode(body))
        try:
            answer = await self._http.write(call, departure)
        except Refused as refused:
            pause_if_forbidden(refused)
            raise
        if answer.body.strip() and not _is_json(answer.body):
            raise InDoubt(f"{operation}: the answer is not eBay's own")
        return answer

    async def after_sale(
        self, operation: str, path: str, site: str, departure: Departure, body: msgspec.Struct | None = None
    ) -> Answer:
        """A call of the Post-Order API, which wants to know the site. No refusal of it says anything of our other rights."""
        content = b"" if body is None else msgspec.json.encode(body)
        headers = (("X-EBAY-C-MARKETPLACE-ID", site),)
        return await self._http.write(Call(operation, "POST", path, body=content, headers=headers), departure)

    async def list_orders(self, criterion: str, offset: int) -> Answer:
        """No criterion but the axis (B6)."""
        query = (("filter", criterion), ("limit", str(PAGE_SIZE)), ("offset", str(offset)), BREAKDOWN)
        return await self.read("getOrders", ORDERS, query)

    async def order(self, order_id: str) -> tuple[Answer, RawOrder] | None:
        """The whole order, with its requests to cancel; None where eBay does not know it.

        Never by `orderIds` of the list: with them it passes over the breakdown, and the same order would read differently.
        """
        try:
            answer = await self.read("getOrder", f"{ORDERS}/{segment(order_id)}", (BREAKDOWN,))
        except Refused as refused:
            if refused.status == 404 or INVALID_ORDER_ID in error_ids(refused.body):
                return None
            raise
        # What is no document at all is a failed read; what is a bad one is parked by whoever parses it.
        decode(answer, msgspec.Raw, write=False)
        return answer, PAGES.named(answer.body)

    async def packages(self, order_id: OrderId) -> Sequence[wire.Package]:
        answer = await self.read("getShippingFulfillments", package_path(order_id))
        return decode(answer, wire.Packages, write=False).fulfillments


def package_path(order_id: OrderId) -> str:
    return f"{ORDERS}/{segment(order_id)}/shipping_fulfillment"


def pause_if_forbidden(refused: Refused) -> None:
    if refused.status == 403:
        raise PauseConnection(
            f"{refused.operation}: the seller's consent does not cover this call (HTTP 403): consent again, with every scope"
        ) from refused


def error_ids(body: bytes) -> tuple[int, ...]:
    """The vendor's numbers, and never its texts: they may quote a buyer."""
    try:
        stated = msgspec.json.decode(body, type=wire.Errors)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(error.error_id for error in stated.errors or () if error.error_id)


def why(refused: Refused) -> str:
    ids = error_ids(refused.body)
    return f"error {ids[0]}" if ids else f"HTTP {refused.status}"


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
