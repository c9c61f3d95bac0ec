"""What may befall a simulated account: its clock, its lists, its promises (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec.structs import replace

from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_http import JSON, Fault
from adapters.ebay.sandbox_writes import create_package
from marketsync.ports import Request, Response

_POISONS: tuple[dict[str, Any], ...] = ({"unknown_state": "TELEPORTED"}, {"bad_totals": True})


class Troubled:
    """Of a side that has a `sandbox`."""

    sandbox: EbaySandbox

    def __init__(self) -> None:
        self.pages_spoilt: dict[str, int] = {}
        self._page_trouble = ""
        self._last_page: Response | None = None

    def move_clock(self, seconds: float) -> None:
        self.sandbox.set_behaviour(clock_skew_seconds=self.sandbox.behaviour.clock_skew_seconds + seconds)

    def see_late(self, seconds: float) -> None:
        lag = self.sandbox.behaviour.visibility_lag_seconds + seconds
        self.sandbox.set_behaviour(visibility_lag_seconds=lag)

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
        self.sandbox.swallows[kind] = 1

    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]:
        """What was acknowledged and not done, a person does by hand; of stock it is only said that it was so."""
        sandbox = self.sandbox
        sandbox.swallows.clear()
        swallowed, sandbox.swallowed = sandbox.swallowed, []
        packages, sandbox.make_up_later = sandbox.make_up_later, []
        at = sandbox.world.clock(now)
        for order_id, body in packages:
            order = sandbox.world.orders[order_id]
            try:
                sandbox.world.add_package(create_package(sandbox.world, order, body, at), order)
            except Fault:
                continue
        return swallowed

    def spoil_page(self, kind: str) -> None:
        self._page_trouble = kind

    def _paged(self, request: Request, response: Response) -> Response:
        """The list as it comes with the trouble that waits for it."""
        if request.operation != "getOrders" or response.status != 200:
            return response
        before, self._last_page = self._last_page, response
        kind = self._page_trouble
        offset = int(dict(parse_qsl(urlsplit(request.url).query)).get("offset", "0"))
        if kind == "short":
            shown = msgspec.json.decode(response.body)
            if not shown.get("orders"):
                return response
            shown["orders"] = shown["orders"][:-1]
            response = replace(response, body=JSON.encode(shown))
        elif kind == "repeated" and offset and before is not None:
            response = replace(response, body=before.body)
        elif kind == "expired" and offset:
            response = replace(response, status=400, body=b'{"errors":[{"errorId":31000}]}')
        else:
            return response
        self._page_trouble = ""
        self.pages_spoilt[kind] = self.pages_spoilt.get(kind, 0) + 1
        return response
