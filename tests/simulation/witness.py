"""What a bystander between the daemon and the world writes down: who was told what, and when each write left and arrived.

It knows the far sides' truth and the wire, and nothing of the daemon. The oversell bound is computed from its log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec

from marketsync.errors import MarketsyncError
from marketsync.ports import Clock, Request, Response
from marketsync.sandbox.audit import Moment
from marketsync.sandbox.faults import FaultyTransport
from marketsync.sandbox.roles import FarSide, KeepsJournal, KeepsListings, MarketplaceSide
from marketsync.sandbox.world import World

STOCK_READS = frozenset({"products.read", "stock.read", "stock.file", "articles.list", "articles.named"})
"""Of every shop's adapter."""
LOOKED_UP = (b'["default_code","in",',)
"""Who looks for articles by their SKUs takes no figures: the words of such a question, where its address has none."""
BULK_READS = {"stock.file": b"bulkOperationRunQuery"}
"""A file that states what was true when the request with these words arrived."""
STOCK_WRITES = frozenset({"STO01", "stock.set", "patchListingsItem", "createFeed", "bulkUpdatePriceQuantity"})
"""Of every adapter."""
BEGUN_BY, ENDS = "createFeedDocument", "createFeed"
"""Amazon's feed: what is in it was computed when its document was begun. One that was given up left nothing."""


class Telling(msgspec.Struct, frozen=True):
    """An answer that named this order was in the daemon's hand at `at`."""

    at: datetime
    marketplace: str
    order_id: str


class Reading(msgspec.Struct, frozen=True):
    """The shop stated its stock at `answered_at`, and that was in the daemon's hand at `told_at`.

    `base` is what was true then, see `audit.Moment`. `whole`: the answer could be read.
    """

    answered_at: datetime
    told_at: datetime
    base: Mapping[str, int]
    whole: bool = True


class Leaving(msgspec.Struct, frozen=True):
    """A write of stock left for a marketplace; `truth` is of that moment, or of when its first request left."""

    request: Request
    truth: Moment


class Happening(msgspec.Struct, frozen=True):
    """Something that a far side wrote into its own journal, with its own number of the order."""

    at: datetime
    side: str
    subject: str
    what: str


class Passage(msgspec.Struct):
    """One request and what became of it: `arrived` at the far side so often, and `outcome` is what its sender saw."""

    left_at: datetime
    request: Request
    arrived: list[datetime]
    came_at: datetime | None = None
    outcome: str = "the process ended before any answer"
    fault: str = ""
    body: bytes = b""


class Computation(msgspec.Struct, frozen=True):
    """Quantities for one marketplace: computed when they left, in force from `landed_at` at the latest: no sale was
    made between the effect and that moment. None: not yet."""

    marketplace: str
    truth: Moment
    quantities: Mapping[str, int]
    landed_at: datetime | None


@runtime_checkable
class Listing(MarketplaceSide, KeepsListings, Protocol):
    """A marketplace whose listings can be accounted for."""


class Witness:
    """A `FarWorld` before the world and, as `Watched`, a `Transport` before the network. It also stands at the door of
    each marketplace, for what arrives late, and to see what is listed before each sale.

    `troubles`: from when to when the daemon may not have written down what it was told.
    """

    def __init__(self, world: World) -> None:
        self.tellings: list[Telling] = []
        self.readings: list[Reading] = []
        self.leavings: list[Leaving] = []
        self.troubles: list[tuple[datetime, datetime]] = []
        self.first = world.moment(world.now)
        self._world = world
        self._listed = {name: dict(side.listed(world.now)) for name, side in world.marketplaces.items()}
        self._stated: dict[int, tuple[datetime, Mapping[str, int]]] = {}
        self.happened: list[Happening] = []
        self.wire: list[Passage] = []
        self._arrived: dict[int, list[datetime]] = {}
        self._begun: dict[str, Moment] = {}
        self._ordered: dict[str, tuple[datetime, Mapping[str, int]]] = {}
        self._sellers = [(x, y) for x, y in sorted(world.marketplaces.items()) if isinstance(y, Listing)]
        sides: dict[str, FarSide] = {**world.marketplaces, **world.shops}
        self._journals = [(x, y) for x, y in sides.items() if isinstance(y, KeepsJournal)]
        self._read = dict.fromkeys(sides, 0)
        self._taken: dict[tuple[str, int], Request] = {}
        self._landed: dict[tuple[str, int], datetime] = {}
        for name, side in self._sellers:
            self._attend(name, side)
        world.seen = self._see

    def handle(self, name: str, request: Request, now: datetime) -> Response:
        response = self._world.handle(name, request, now)
        self._arrived.setdefault(id(request), []).append(self._world.now)
        if name in self._world.shops:
            self._note_stock(name, request)
        return response

    def _note_stock(self, name: str, request: Request) -> None:
        named = "sku=" in request.url or "skus=" in request.url
        named = named or any(words in request.body for words in LOOKED_UP)
        reads = request.operation in STOCK_READS and not named
        orders = any(words in request.body for words in BULK_READS.values())
        if not reads and not orders:
            return
        stated = (self._world.now, self._world.books.base(self._world.shops)[0])
        if orders:
            self._ordered[name] = stated
        elif request.operation in BULK_READS:
            self._stated[id(request)] = self._ordered[name]
        else:
            self._stated[id(request)] = stated

    def land(self, name: str, request: Request, at: datetime) -> None:
        self._arrived.setdefault(id(request), []).append(at)
        self._world.land(name, request, at)

    def leaves(self, request: Request, now: datetime) -> Passage:
        if request.operation == BEGUN_BY:
            self._begun[request.connection] = self._world.moment(now)
        if request.operation in STOCK_WRITES:
            begun = self._begun.pop(request.connection, None) if request.operation == ENDS else None
            self.leavings.append(Leaving(request, begun or self._world.moment(now)))
        passage = Passage(now, request, self._arrived.setdefault(id(request), []))
        self.wire.append(passage)
        return passage

    def told(self, request: Request, response: Response, now: datetime) -> None:
        stated = self._stated.pop(id(request), None)
        if response.status != 200:
            return
        if stated is not None:
            answered_at, base = stated
            named = {sku: units for sku, units in base.items() if f'"{sku}"'.encode() in response.body}
            self.readings.append(Reading(answered_at, now, named, _readable(response.body)))
        if request.connection in self._world.marketplaces and not request.write:
            shown = [
                order_id
                for name, order_id in self._world.books.placed
                if name == request.connection and f'"{order_id}"'.encode() in response.body
            ]
            if shown and _readable(response.body):
                self.tellings += [Telling(now, request.connection, order_id) for order_id in shown]

    def computations(self) -> list[Computation]:
        """What each marketplace was told to list, by the time of arrival; the first is what it listed at the beginning."""
        left = {id(leaving.request): leaving.truth for leaving in self.leavings}
        found = [Computation(name, self.first, what, self.first.at) for name, what in self._listed.items()]
        for name, side in self._sellers:
            self._see_landed(name, side, self._world.now)
            for number, write in enumerate(side.stock_writes(self._world.now)):
                truth = left[id(self._taken[name, number])]
                found.append(Computation(name, truth, write.quantities, self._landed.get((name, number))))
        return found

    def _attend(self, name: str, side: Listing) -> None:
        handle, place_order = side.handle, side.place_order

        def watched(request: Request, now: datetime) -> Response:
            if request.operation not in STOCK_WRITES:
                return handle(request, now)
            known = len(side.stock_writes(now))
            response = handle(request, now)
            if len(side.stock_writes(now)) > known:
                self._taken[name, known] = request
            return response

        def sold(now: datetime, lines: Sequence[tuple[str, int]]) -> str | None:
            self._see_landed(name, side, now)
            return place_order(now, lines)

        side.handle = watched  # type: ignore[method-assign]
        side.place_order = sold  # type: ignore[method-assign]

    def _see(self, now: datetime) -> None:
        """After everything that happens in the world."""
        if len(self._landed) < len(self._taken):
            for name, side in self._sellers:
                self._see_landed(name, side, now)
        for name, keeper in self._journals:
            entries = keeper.journal(self._read[name])
            self._read[name] += len(entries)
            self.happened += [Happening(now, name, subject, what) for subject, what in entries]

    def _see_landed(self, name: str, side: Listing, now: datetime) -> None:
        for number, write in enumerate(side.stock_writes(now)):
            if write.landed:
                self._landed.setdefault((name, number), now)


class Watched:
    """The transport that the daemon gets."""

    def __init__(self, witness: Witness, clock: Clock, inner: FaultyTransport) -> None:
        self._witness = witness
        self._clock = clock
        self._inner = inner

    async def send(self, request: Request) -> Response:
        passage = self._witness.leaves(request, self._clock.now())
        try:
            response = await self._inner.send(request)
        except MarketsyncError as error:
            self._note(passage, f"{type(error).__name__}: {error}")
            raise
        self._note(passage, f"HTTP {response.status}")
        passage.body = response.body
        self._witness.told(request, response, self._clock.now())
        return response

    def _note(self, passage: Passage, outcome: str) -> None:
        passage.came_at, passage.outcome = self._clock.now(), outcome
        passage.fault = self._inner.log[-1].fault.value

    async def close(self) -> None:
        await self._inner.close()


def _readable(body: bytes) -> bool:
    """JSON, or a line of it for each row."""
    try:
        msgspec.json.Decoder().decode_lines(body)
    except msgspec.DecodeError:
        return False
    return True
