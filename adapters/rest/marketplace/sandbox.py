"""A marketplace that keeps the contract, to rehearse with: a stateful, pure server of its calls (D12).

The same request at the same time on the same history gives the same answer. Faults of the network are not its
business; those of the far side are, by `Behaviour`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from adapters.rest import wire
from adapters.rest.marketplace.sandbox_json import order_json
from adapters.rest.marketplace.sandbox_world import Behaviour, SoldOrder, World
from adapters.rest.sandbox_http import (
    OFFSET_MAX,
    Gate,
    Query,
    Refusal,
    answered,
    body_of,
    moment,
    number,
    refused,
    route,
    several,
)
from marketsync.ports import Request, Response
from marketsync.sandbox.books import Account

PAGE_MAX, IDS_MAX = 100, 50
_PARCEL = re.compile(r"[a-z0-9-]{1,40}")
_AXES = ("updated", "created")


class RestMarketSandbox(Account[Behaviour, SoldOrder]):
    """Two `shipped` of one order in its log would be a duplicate."""

    world: World

    def __init__(
        self,
        offers: Mapping[str, int],
        behaviour: Behaviour | None = None,
        prices: Mapping[str, Decimal] | None = None,
    ) -> None:
        super().__init__(World(offers, behaviour or Behaviour(), prices or {}))
        self._gate = Gate(self.behaviour.token, self.behaviour.calls_per_minute)

    # What people do

    def place_order(self, now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
        at = self.arrive(now)
        order = self.world.place(at, lines)
        return None if order is None else order.order_id

    def cancel_order(self, now: datetime, order_id: str) -> bool:
        at = self.arrive(now)
        return self.world.cancel(self.world.orders[order_id], at) is not None

    def close(self, now: datetime, order_id: str) -> None:
        at = self.arrive(now)
        self.world.put(replace(self.world.orders[order_id], state="closed"), at)

    # HTTP

    def handle(self, request: Request, now: datetime) -> Response:
        at = self.arrive(now)
        try:
            self._gate.check(request, at)
            return answered(200, self._answer(request, at), at)
        except Refusal as refusal:
            return refused(refusal, at)

    def _answer(self, request: Request, at: datetime) -> Any:
        method, path, query = route(request)
        match (method, path):
            case ("GET", ("marketplace",)):
                return {"contract": "1", "name": "Simulated marketplace 1.0"}
            case ("GET", ("marketplace", "orders")):
                return self._list(query, at)
            case ("PUT", ("marketplace", "orders", order_id, "acceptance")):
                order = self._order(order_id)
                return self._shown(self._accept(order, body_of(request, wire.Acceptance), at))
            case ("PUT", ("marketplace", "orders", order_id, "shipments", key)):
                order = self._order(order_id)
                return self._shown(self._ship(order, key, body_of(request, wire.Parcel), at))
            case ("PUT", ("marketplace", "stock")):
                return self._set_stock(body_of(request, wire.StockLevels), at)
            case _:
                raise Refusal(404, "unknown_path", "there is nothing here")

    def _order(self, order_id: str) -> SoldOrder:
        order = self.world.orders.get(order_id)
        if order is None:
            raise Refusal(404, "unknown_order")
        return order

    def _shown(self, order: SoldOrder) -> dict[str, Any]:
        spoilt = self.spoilt.get(order.order_id)
        return order_json(order, replace(self.behaviour, **spoilt) if spoilt else self.behaviour)

    def _list(self, query: Query, at: datetime) -> dict[str, Any]:
        offset, size = (
            number(query, "offset", 0, 0, OFFSET_MAX),
            number(query, "limit", PAGE_MAX, 1, PAGE_MAX),
        )
        found = self._found(query, at)
        return {"orders": [self._shown(x) for x in found[offset : offset + size]], "total": len(found)}

    def _found(self, query: Query, at: datetime) -> list[SoldOrder]:
        asked = [axis for axis in _AXES if {f"{axis}_from", f"{axis}_to"} & set(query)]
        if len(asked) + ("ids" in query) != 1:
            raise Refusal(400, "malformed", "exactly one of a window by update, one by creation, or ids")
        if "ids" in query:
            ids = several(query, "ids", IDS_MAX)
            return [self.world.orders[x] for x in dict.fromkeys(ids) if x in self.world.orders]
        axis = asked[0]
        lo, hi = moment(query, f"{axis}_from"), moment(query, f"{axis}_to")
        if lo is None or hi is None or lo > hi:
            raise Refusal(400, "malformed", "a window has two ends, the first not behind the last")
        return [
            x for x in self.world.visible(at) if lo <= (x.updated if axis == "updated" else x.created) <= hi
        ]

    def _accept(self, order: SoldOrder, said: wire.Acceptance, at: datetime) -> SoldOrder:
        decisions = {line.id: line.accepted for line in said.lines}
        known = {line.line_id for line in order.lines}
        if not set(decisions) <= known:
            raise Refusal(422, "unknown_line")
        if set(decisions) != known or len(decisions) != len(said.lines):
            raise Refusal(422, "line_missing", "every line once")
        if order.state in {"pending", "cancelled"}:
            raise Refusal(409, "wrong_state", f"the order is {order.state}")
        if order.state != "to_accept":
            if decisions == {line.line_id: line.accepted for line in order.lines}:
                return order
            raise Refusal(409, "already_decided")
        accepted = [key for key, yes in decisions.items() if yes]
        if 0 < len(accepted) < len(known) and not self.behaviour.by_line:
            raise Refusal(422, "all_or_none")
        if self._swallowed("accept", order.order_id):
            lines = tuple(replace(x, accepted=decisions[x.line_id]) for x in order.lines)
            return replace(order, state="accepted" if accepted else "refused", lines=lines)
        return self.world.decide(order, accepted, at)

    def _ship(self, order: SoldOrder, key: str, parcel: wire.Parcel, at: datetime) -> SoldOrder:
        if not _PARCEL.fullmatch(key):
            raise Refusal(400, "malformed", "the parcel's id")
        if order.state not in {"ready", "shipped"} or order.by_marketplace:
            raise Refusal(409, "wrong_state", f"the order is {order.state}")
        if self.behaviour.carriers and parcel.carrier not in self.behaviour.carriers:
            raise Refusal(422, "unknown_carrier")
        wanted = {line.line_id: line.wanted for line in order.lines}
        named = [line.id for line in parcel.lines]
        if not set(named) <= set(wanted) or len(set(named)) != len(named):
            raise Refusal(422, "unknown_line", "a line of this order, once")
        for line in parcel.lines:
            if line.quantity + order.shipped(line.id, without=key) > wanted[line.id]:
                raise Refusal(422, "too_many_units")
        if self._swallowed("confirm", order.order_id):
            return replace(order, parcels={**order.parcels, key: parcel})
        return self.world.tell(order, key, parcel, at)

    def _set_stock(self, levels: wire.StockLevels, at: datetime) -> dict[str, Any]:
        if len({item.sku for item in levels.items}) != len(levels.items):
            raise Refusal(400, "malformed", "a SKU stands twice")
        known = {item.sku: item.quantity for item in levels.items if item.sku in self.world.offers}
        if not self._swallowed("stock", str(len(self.world.writes) + 1)):
            self.world.offers.update(known)
            self.world.writes.append(known)
            self.world.record(at, "stock", str(len(self.world.writes)), str(len(known)))
        return {
            "items": [
                {"sku": x.sku, "error": None if x.sku in known else "unknown_sku"} for x in levels.items
            ]
        }
