"""What may befall a simulated Amazon: its clock, its lists, its promises (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from adapters.amazon.sandbox import AmazonSandbox
from adapters.amazon.sandbox_http import JSON
from marketsync.ports import Request, Response

_LIST = "/orders/2026-01-01/orders"
_POISONS: tuple[dict[str, Any], ...] = ({"unknown_state": "TELEPORTED"}, {"bad_totals": True})


class Troubled:
    """Of a side that has a `sandbox`."""

    sandbox: AmazonSandbox

    def __init__(self) -> None:
        self.pages_spoilt: dict[str, int] = {}
        self._page_trouble = ""

    def move_clock(self, seconds: float) -> None:
        self.sandbox.set_behaviour(clock_skew_seconds=self.sandbox.behaviour.clock_skew_seconds + seconds)

    def see_late(self, seconds: float) -> None:
        lag = self.sandbox.behaviour.visibility_lag_seconds
        self.sandbox.set_behaviour(visibility_lag_seconds=lag + seconds)

    def touch(self, now: datetime, order_id: str, backdated_seconds: float) -> None:
        """Set back it may be, but never to before its own last one."""
        world = self.sandbox.world
        since = (world.clock(now) - world.orders[order_id].updated).total_seconds()
        back = max(0.0, min(backdated_seconds, since))
        self.sandbox.touch(now, order_id, backdated_seconds=back)

    def poison(self, now: datetime, order_id: str, kind: int) -> None:
        self.sandbox.spoilt[order_id] = _POISONS[kind % len(_POISONS)]
        self.sandbox.touch(now, order_id)

    def mend(self, now: datetime, order_id: str) -> None:
        if self.sandbox.spoilt.pop(order_id, None) is not None:
            self.sandbox.touch(now, order_id)

    def swallow(self, kind: str) -> None:
        """There is nothing to accept here."""
        if kind == "confirm":
            self.sandbox.swallows = 1
        elif kind == "stock":
            self.sandbox.stock.swallows = 1

    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]:
        """What was acknowledged and not done, a person does by hand; of stock it is only said that it was so."""
        stock, world = self.sandbox.stock, self.sandbox.world
        self.sandbox.swallows = stock.swallows = 0
        confirms, self.sandbox.swallowed = self.sandbox.swallowed, []
        skus, stock.swallowed = stock.swallowed, []
        at = self.sandbox.arrive(now)
        for order_id, package in confirms:
            order = world.orders[order_id]
            if not any(held.reference == package.reference for held in order.packages):
                world.confirm(order, replace(package, at=at))
        return [("confirm", order_id) for order_id, _ in confirms] + [("stock", sku) for sku in skus]

    def spoil_page(self, kind: str) -> None:
        self._page_trouble = kind

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
        self._page_trouble = ""
        self.pages_spoilt["short"] = self.pages_spoilt.get("short", 0) + 1
        return replace(response, body=JSON.encode(shown))
