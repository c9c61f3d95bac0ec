"""WooCommerce's REST calls as we use them, and what its refusals mean."""

from __future__ import annotations

from typing import NoReturn, TypeVar

import msgspec

from adapters.woocommerce.orders import Body
from adapters.woocommerce.wire import WireOrder, error_code
from marketsync.errors import Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Answer, Call, Http, Operation, decode
from marketsync.ports import Departure

T = TypeVar("T")
V3 = "/wc/v3"
PAGE = 100
DIGITS_MAX = 18
OPERATIONS = tuple(
    Operation(name, "api", total_seconds=60.0, body_bytes_max=16 * 1024 * 1024)
    for name in (
        "orders.create",
        "orders.update",
        "orders.read",
        "shipments.read",
        "products.read",
        "shop.read",
    )
)


class Api:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def get(self, operation: str, path: str, type_: type[T], **query: str) -> T:
        return decode(await self.fetch(operation, path, **query), type_, write=False)

    async def fetch(self, operation: str, path: str, **query: str) -> Answer:
        """The bare answer; raises Refused for a 4xx that is not about our rights."""
        try:
            return await self._http.read(Call(operation, "GET", path, tuple(query.items())))
        except Refused as refused:
            if refused.status != 403:
                raise
            if _is_ours_to_mend(refused):
                raise PauseConnection(
                    "the API key may not read this: give it read and write access"
                ) from refused
            raise ReadFailed("a firewall before the shop refused the request (HTTP 403)") from refused

    async def order(self, remote_id: str) -> WireOrder | None:
        """None where the shop knows no such order, or holds it in its trash."""
        try:
            order = await self.get("orders.read", f"{V3}/orders/{remote_id}", WireOrder)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return None if order.status == "trash" else order

    async def create_order(self, body: Body, departure: Departure) -> Answer:
        call = Call("orders.create", "POST", f"{V3}/orders", body=msgspec.json.encode(body))
        return await self._write(call, departure)

    async def update_order(self, remote_id: str, body: Body, departure: Departure) -> WireOrder:
        call = Call("orders.update", "PUT", f"{V3}/orders/{remote_id}", body=msgspec.json.encode(body))
        return decode(await self._write(call, departure), WireOrder, write=True)

    async def _write(self, call: Call, departure: Departure) -> Answer:
        try:
            return await self._http.write(call, departure)
        except Refused as refused:
            _refused(refused)


def _refused(refused: Refused) -> NoReturn:
    if refused.status == 403 and _is_ours_to_mend(refused):
        raise PauseConnection("the API key may not write orders: give it read and write access") from refused
    if refused.status == 403:
        # Not WooCommerce's own answer: a firewall before the shop, which let nothing through.
        raise Retry("a firewall before the shop refused the request (HTTP 403)") from refused
    code = error_code(refused.body)
    raise Park(f"{refused.operation} was refused with HTTP {refused.status} {code}".rstrip()) from refused


def _is_ours_to_mend(refused: Refused) -> bool:
    return error_code(refused.body).startswith(("woocommerce_rest_cannot", "woocommerce_rest_authentication"))


def total_header(answer: Answer) -> int | None:
    """None where it says no number that could be one: Python reads no more than 4,300 digits."""
    text = answer.headers.get("x-wp-total", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None
