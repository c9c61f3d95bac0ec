"""What may befall a simulated account: its clock, its lists, its promises (`marketsync.sandbox.roles`)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec.structs import replace

from adapters.ebay.sandbox import EbaySandbox
from adapters.ebay.sandbox_http import JSON, Fault
from adapters.ebay.sandbox_writes import create_package
from marketsync.ports import Request, Response
from marketsync.sandbox.troubled import Troubled


class EbayTroubled(Troubled):
    sandbox: EbaySandbox

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
        return self._was_spoilt(kind, response)
