"""The adapter of one role behind the real client, over its simulated server, with a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from adapters.rest import ADAPTER, SHOP
from adapters.rest.marketplace.rehearsal import RestMarketSide
from adapters.rest.marketplace.sandbox_world import SoldOrder
from adapters.rest.shop.rehearsal import RestShopSide
from marketsync.kit.bench import Bench, Fresh
from marketsync.kit.quality import of
from marketsync.ports import Departure, Request, Response


async def a_shop(**plan: Any) -> Bench:
    return await Fresh(SHOP, of(SHOP))(**plan)


async def a_market(**plan: Any) -> Bench:
    return await Fresh(ADAPTER, of(ADAPTER))(**plan)


def shop_side(bench: Bench) -> RestShopSide:
    return cast("RestShopSide", bench.side)


def market_side(bench: Bench) -> RestMarketSide:
    return cast("RestMarketSide", bench.side)


def sold(bench: Bench, order_id: str) -> SoldOrder:
    return market_side(bench).sandbox.world.orders[order_id]


def departure(bench: Bench) -> Departure:
    return Departure(1, bench.clock.monotonic() + 60.0)


def answering(bench: Bench, operation: str, change: Callable[[Any], Any], status: int | None = None) -> None:
    """Every answer to that operation is changed on its way."""

    def edit(request: Request, response: Response) -> Response:
        if request.operation != operation:
            return response
        body = json.dumps(change(json.loads(response.body))).encode()
        return replace(response, body=body, status=response.status if status is None else status)

    bench.wire.edit = edit
