"""What may befall a simulated Amazon: its clock, its lists, its promises (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_http import JSON
from marketsync.ports import Request, Response
from marketsync.sandbox.troubled import Troubled

_LIST = "/orders/2026-01-01/orders"


class AmazonTroubled(Troubled):
    sandbox: AmazonSandbox

    def swallow(self, kind: str) -> None:
        """There is nothing to accept here."""
        if kind == "confirm":
            self.sandbox.swallows[kind] = 1
        elif kind == "stock":
            self.sandbox.stock.swallows = 1

    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]:
        """What was acknowledged and not done, a person does by hand; of stock it is only said that it was so."""
        stock, world = self.sandbox.stock, self.sandbox.world
        self.sandbox.swallows.clear()
        stock.swallows = 0
        confirms, self.sandbox.unconfirmed = self.sandbox.unconfirmed, []
        skus, stock.swallowed = stock.swallowed, []
        at = self.sandbox.arrive(now)
        for order_id, package in confirms:
            order = world.orders[order_id]
            if not any(held.reference == package.reference for held in order.packages):
                world.confirm(order, replace(package, at=at))
        return [("confirm", order_id) for order_id, _ in confirms] + [("stock", sku) for sku in skus]

    def _paged(self, request: Request, response: Response) -> Response:
        """The list as it comes with the trouble that waits for it. Pages are never asked for by token, so that none is
        repeated and none expires; a short one says that there is more."""
        whole = request.method == "GET" and urlsplit(request.url).path == _LIST and response.status == 200
        if self._page_trouble != "short" or not whole:
            return response
        try:
            shown = msgspec.json.decode(response.body)
        except msgspec.MsgspecError:
            return response
        if not shown["orders"]:
            return response
        shown["orders"] = shown["orders"][:-1]
        shown.setdefault("pagination", {"nextToken": "c2hvcnQ="})
        return self._was_spoilt("short", replace(response, body=JSON.encode(shown)))
