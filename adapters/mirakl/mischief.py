"""What may befall a simulated marketplace: its clock, its lists, its promises (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec.structs import replace

from adapters.mirakl.sandbox import MiraklSandbox
from adapters.mirakl.sandbox_http import JSON
from marketsync.ports import Request, Response
from marketsync.sandbox.troubled import Troubled

_EXACT = msgspec.json.Decoder(float_hook=Decimal)


class MiraklTroubled(Troubled):
    sandbox: MiraklSandbox

    def swallow(self, kind: str) -> None:
        self.sandbox.swallows[kind] = 1

    def make_up(self, now: datetime) -> Sequence[tuple[str, str]]:
        """What was acknowledged and not done, a person does by hand; of stock it is only said that it was so."""
        self.sandbox.swallows.clear()
        swallowed, self.sandbox.swallowed = self.sandbox.swallowed, []
        world = self.sandbox.world
        at = world.clock(now)
        for kind, subject in swallowed:
            order = world.orders.get(subject)
            if kind == "confirm" and order is not None and order.state == "SHIPPING":
                world.ship(order, at)
            if kind == "accept" and order is not None and order.state == "WAITING_ACCEPTANCE":
                world.decide(order, [line.line_id for line in order.lines], at, "accepted")
        return swallowed

    def _paged(self, request: Request, response: Response) -> Response:
        """The list as it comes with the trouble that waits for it."""
        if request.operation != "OR11" or response.status != 200 or "order_ids=" in request.url:
            return response
        before, self._last_page = self._last_page, response
        kind = self._page_trouble
        offset = int(dict(parse_qsl(urlsplit(request.url).query)).get("offset", "0"))
        if kind == "short":
            shown = _EXACT.decode(response.body)
            if not shown.get("orders"):
                return response
            shown["orders"] = shown["orders"][:-1]
            response = replace(response, body=JSON.encode(shown))
        elif kind == "repeated" and offset and before is not None:
            response = replace(response, body=before.body)
        elif kind == "expired" and offset:
            response = replace(response, status=400, body=b'{"status":400,"message":"the page has expired"}')
        else:
            return response
        return self._was_spoilt(kind, response)
