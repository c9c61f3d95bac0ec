"""Networks of the focused scenarios: each does one thing that a rule is for, often and at the worst moment."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode
from weakref import WeakKeyDictionary

import msgspec
from msgspec.structs import replace

from adapters.mirakl.rehearsal import MiraklSide
from adapters.woocommerce.rehearsal import WooSide
from marketsync.errors import InDoubt
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import FaultyTransport
from marketsync.sandbox.world import World
from tests.simulation.scenario import LANDS_WITHIN, SHOP, SHOP_VISIBLE_WITHIN, STOCK_LANDS_WITHIN

SHOP_LAG_SECONDS = 30.0
PAGE = 3
# A poll a minute, of what was over half a minute before; a look by id may take the place of one or two.
CANCEL_READ_SECONDS = 200.0
# What the rules wait for: send-by, lands-within and visible-within of each write, together.
SHOP_SECONDS = LANDS_WITHIN[SHOP] + SHOP_VISIBLE_WITHIN
MARKET_SECONDS = LANDS_WITHIN["alpha"] + 60.0
WAITS_SECONDS = {
    "orders.create": 10.0 + SHOP_SECONDS,
    "orders.update": 60.0 + SHOP_SECONDS,
    "OR21": 10.0 + MARKET_SECONDS,
    "OR23": 10.0 + MARKET_SECONDS,
    "OR24": 10.0 + MARKET_SECONDS,
    "ST01": 10.0 + MARKET_SECONDS,
    # An import is applied 20 seconds after it was taken.
    "STO01": 10.0 + STOCK_LANDS_WITHIN - 20.5,
}
MOMENT_SECONDS = 0.2


class Net(FaultyTransport):
    """What a scenario does not decide goes the usual way; once the world is quiet, all does."""

    world: World

    async def send(self, request: Request) -> Response:
        if not request.write or self.world._quiet:
            return await super().send(request)
        return await self.write(request)

    async def write(self, request: Request) -> Response:
        return await super().send(request)

    @property
    def chance(self) -> Chance:
        return self._dice._chance

    def land(self, request: Request, seconds: float) -> None:
        self._world.land(request.connection, request, self._clock.now() + timedelta(seconds=seconds))

    def cut(self, request: Request) -> InDoubt:
        return InDoubt(f"{request.operation}: the connection was cut")


class Edge(Net):
    """A write is cut, and lands at the last moment that the rules wait for; or at once; or never."""

    late, applied, lost = 0.25, 0.1, 0.1

    async def write(self, request: Request) -> Response:
        point = self.chance.uniform(0.0, 1.0)
        if point >= self.late + self.applied + self.lost:
            return await super().write(request)
        await self._clock.sleep(0.05)
        if point < self.late:
            self.land(request, WAITS_SECONDS[request.operation] - MOMENT_SECONDS)
        elif point < self.late + self.applied:
            self._arrive(request)
        raise self.cut(request)


class OneEdge(Edge):
    """One kind of write alone."""

    late = 0.5
    operation = ""

    async def write(self, request: Request) -> Response:
        if request.operation != self.operation:
            return await Net.write(self, request)
        return await super().write(request)


class Updates(OneEdge):
    operation = "orders.update"


class Imports(OneEdge):
    operation = "STO01"


class Creates(OneEdge):
    """Nothing is created for an order whose cancel must have been read by then."""

    operation, late, lost = "orders.create", 0.5, 0.3

    async def write(self, request: Request) -> Response:
        if request.operation == self.operation:
            for event in market_of(self.world).sandbox.log:
                if event.what == "cancelled_by_buyer" and self._is_of(request, event.subject):
                    assert (self._clock.now() - event.at).total_seconds() < CANCEL_READ_SECONDS, (
                        "created after all"
                    )
        return await super().write(request)

    def _is_of(self, request: Request, order_id: str) -> bool:
        return f"-{self.world.books.key_of('alpha', order_id)}".encode() in request.body


class Ships(OneEdge):
    operation = "OR24"


class Throttled(Net):
    """The shop lets an order be made, and not be changed for a while."""

    refused = 0.6

    async def write(self, request: Request) -> Response:
        if request.operation == "orders.update" and self.chance.happens(self.refused):
            return Response(429, {"retry-after": "100"}, b"<html>", self._clock.monotonic())
        return await super().write(request)


class ThrottledSeldom(Throttled):
    refused = 0.3


class Echo(Net):
    """The path repeats what changes an order of the shop, within the time that a request may take to land."""

    async def write(self, request: Request) -> Response:
        if request.operation == "orders.update" and self.chance.happens(0.5):
            self.land(request, self.chance.uniform(20.0, 85.0))
        return await super().write(request)


class Twins(Net):
    """Creates break the assumptions of A25, each once: the path repeats them, under a 201 or a 429, or they land after all
    waits."""

    met: frozenset[bytes] = frozenset()

    async def write(self, request: Request) -> Response:
        if request.operation != "orders.create" or request.body in self.met:
            return await super().write(request)
        self.met |= {request.body}
        match self.chance.below(4):
            case 0:
                self.land(request, 10.0)
            case 1:
                self.land(request, 10.0)
                return Response(429, {"retry-after": "1"}, b"<html>", self._clock.monotonic())
            case 2:
                self.land(request, WAITS_SECONDS["orders.create"] + 60.0)
                raise self.cut(request)
            case _:
                pass
        return await super().write(request)


class Noted(Net):
    """A calm network. `again` are the writes, less those of stock, that leave once more after they were answered well."""

    answered: ClassVar[WeakKeyDictionary[World, dict[tuple[str, str, bytes], None]]] = WeakKeyDictionary()
    again: ClassVar[WeakKeyDictionary[World, list[str]]] = WeakKeyDictionary()

    async def send(self, request: Request) -> Response:
        if not request.write or request.operation == "STO01":
            return await super().send(request)
        answered = self.answered.setdefault(self.world, {})
        what = (request.operation, request.url, request.body)
        if what in answered:
            self.again.setdefault(self.world, []).append(f"{request.operation} {request.url}")
        response = await super().send(request)
        if response.status < 300:
            answered[what] = None
        return response


class Blinking(Edge):
    """Now and then the shop does not say how many orders there are: a look at them proves nothing."""

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        if self.world._quiet or request.operation != "orders.read" or not self.chance.happens(0.5):
            return response
        kept = {name: value for name, value in response.headers.items() if name != "x-wp-total"}
        return replace(response, headers=kept)


class SmallPages(Net):
    """The marketplace gives a few orders to a page."""

    async def send(self, request: Request) -> Response:
        address, _, query = request.url.partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if request.operation == "OR11" and "order_ids" not in asked:
            request = replace(request, url=f"{address}?{urlencode(asked | {'max': str(PAGE)})}")
        return await super().send(request)


class StaleShop(Net):
    """The shop's figures are those of a while ago."""

    async def send(self, request: Request) -> Response:
        response = await super().send(request)
        if request.operation != "products.read" or response.status != 200:
            return response
        then = self._clock.now() - timedelta(seconds=SHOP_LAG_SECONDS)
        rows = msgspec.json.decode(response.body)
        for row in rows:
            row["stock_quantity"] += sum(
                (event.quantity if event.what == "stock_taken" else -event.quantity)
                for event in shop_of(self.world).shop.log
                if event.what in {"stock_taken", "stock_back"} and event.sku == row["sku"] and event.at > then
            )
        return replace(response, body=msgspec.json.encode(rows))


def market_of(world: World, name: str = "alpha") -> MiraklSide:
    side = world.marketplaces[name]
    assert isinstance(side, MiraklSide)
    return side


def shop_of(world: World) -> WooSide:
    side = world.shops["shop"]
    assert isinstance(side, WooSide)
    return side
