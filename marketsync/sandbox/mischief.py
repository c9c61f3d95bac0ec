"""A world that lies: clocks that jump, lists that slip, promises that are not kept, people who meddle.

It stands between the network and a world, and acts in it at times of its own. Each kind has a rate and is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import cast

import msgspec

from marketsync.errors import Retry
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import FarWorld
from marketsync.sandbox.roles import GivesTokens, ShopOrder, TroubledMarketplace, TroubledShop
from marketsync.sandbox.world import World

CLOCK_SECONDS = 30.0
LATE_SECONDS = (20.0, 90.0)
BACKDATED_SECONDS = (30.0, 900.0)
STALE_SECONDS = 20.0
MENDED_SECONDS = (60.0, 500.0)
STRETCH_SECONDS = (40.0, 240.0)
AGAIN_SECONDS = 300.0
KEPT_MAX = 200
UNSEEN = ("seen_late", "clock_moved", "backdated", "stale")
"""What breaks the promise by when a sale is seen: a write of stock may have overwritten it for good (C17)."""
PAGES = {"page_repeated": "repeated", "page_short": "short", "page_expired": "expired"}
STRETCHES = ("unreachable", "token_revoked", "overrun", "reads_refused", "outage")


class Mischief(msgspec.Struct, frozen=True):
    """How often each happens, times an hour; `stale` per answer that could be one. 0 is off.

    `poisoned`, `trashed`, `token_revoked` are planted: what they touch may be parked or paused until a person acts.
    What is swallowed nobody can know of: the listing or the order is wrong until somebody sees it.
    """

    clock_moved: float = 0.0
    zone_changed: float = 0.0
    seen_late: float = 0.0
    touched: float = 0.0
    touched_at_once: float = 0.0
    backdated: float = 0.0
    page_repeated: float = 0.0
    page_short: float = 0.0
    page_expired: float = 0.0
    poisoned: float = 0.0
    swallowed_stock: float = 0.0
    swallowed_confirm: float = 0.0
    swallowed_accept: float = 0.0
    recounted: float = 0.0
    trashed: float = 0.0
    outage: float = 0.0
    unreachable: float = 0.0
    overrun: float = 0.0
    token_revoked: float = 0.0
    token_expired: float = 0.0
    reads_refused: float = 0.0
    stale: float = 0.0


class Planted(msgspec.Struct):
    """What this world has on its conscience: orders by marketplace, shop orders by our reference, connections."""

    poisoned: dict[tuple[str, str], None] = {}
    trashed: dict[str, None] = {}
    revoked: dict[str, None] = {}
    swallowed: list[tuple[str, str, str]] = []
    refuses: bool = False


class Mischievous:
    """A FarWorld. `inner` is what stands behind: the world, or something that watches it. `never_stale` are operations.
    `again_seconds`: how long a listing may need to be right once all is quiet."""

    def __init__(
        self,
        inner: FarWorld,
        world: World,
        mischief: Mischief,
        chance: Chance,
        never_stale: frozenset[str] = frozenset(),
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._again_seconds = again_seconds
        self._never_stale = never_stale
        self.done: dict[str, int] = {}
        self.planted = Planted()
        self._mischief = mischief
        self._inner = inner
        self._world = world
        self._chance = chance
        self._until: dict[tuple[str, str], datetime] = {}
        self._kept: dict[tuple[str, str, bytes], tuple[datetime, Response]] = {}
        self._late: dict[str, float] = {}
        self._quiet = False
        self.over_at = world.now
        """When the last thing happens that is not the world's own."""
        self._acts = self._known_acts()
        for kind in self._acts:
            if getattr(mischief, kind) > 0:
                self._plan(kind, world.now)

    def handle(self, name: str, request: Request, now: datetime) -> Response:
        hindered = self._hindered(name, request, now)
        if hindered is not None:
            return hindered
        response = self._inner.handle(name, request, now)
        kept = self._mischief.stale > 0 and not request.write and not self._quiet
        if kept and request.operation not in self._never_stale:
            return self._stale(name, request, response, now)
        return response

    def land(self, name: str, request: Request, at: datetime) -> None:
        self._inner.land(name, request, at)

    def counts(self) -> dict[str, int]:
        """How often each kind took effect; a page's trouble when a page has met it."""
        counts = dict(self.done)
        for side in self._world.marketplaces.values():
            if isinstance(side, TroubledMarketplace):
                for kind, shown in PAGES.items():
                    counts[kind] = counts.get(kind, 0) + side.pages_spoilt.get(shown, 0)
        return {kind: count for kind, count in counts.items() if count}

    def quiet(self, now: datetime) -> None:
        """Everything is as it should be again, and people do by hand what was left undone."""
        if self._quiet:
            return
        self._quiet = True
        self._until.clear()
        for name, order_id in self.planted.poisoned:
            self._marketplace(name).mend(now, order_id)
        for name in sorted(self._world.shops):
            for order in self._world.shops[name].orders():
                if order.ref in self.planted.trashed:
                    self._restore(name, order.remote_id, now)
        for name in self._late:
            self._see_in_time(name, now)
        self._make_up(now)

    def _make_up(self, now: datetime) -> None:
        """A listing that is wrong, and that nobody knows of, is set right with the next change of the figure."""
        for name in sorted(self._world.marketplaces):
            side = self._world.marketplaces[name]
            if isinstance(side, TroubledMarketplace):
                self.planted.swallowed += [(name, kind, subject) for kind, subject in side.make_up(now)]
        late = any(self.done.get(kind) for kind in UNSEEN)
        if late or any(kind == "stock" for _, kind, _ in self.planted.swallowed):
            self._count_anew(now)

    def _count_anew(self, now: datetime) -> None:
        """Until the listings are right: a change may by chance lead to just what the daemon believes."""
        self.over_at = now + timedelta(seconds=self._again_seconds)
        self._world.happen(self.over_at, self._look_again)
        truth = self._world.moment(now)
        for sku in sorted(self._world.books.initial):
            self._world.edit_stock(now, sku, max(1, 1 - truth.free(sku)))

    def _look_again(self, now: datetime) -> None:
        stock = [entry for shop in self._world.shops.values() for entry in shop.stock().items()]
        listed = [side.listed(now) for side in self._world.marketplaces.values()]
        if any(quantities.get(sku) != max(0, units) for quantities in listed for sku, units in stock):
            self._count_anew(now)

    def _known_acts(self) -> dict[str, Callable[[datetime], bool]]:
        return {
            "clock_moved": self._move_clock,
            "zone_changed": self._change_zone,
            "seen_late": self._see_late,
            "touched": partial(self._touch, most=1),
            "touched_at_once": partial(self._touch, most=8),
            "backdated": partial(self._touch, most=1, backdated=True),
            "poisoned": self._poison,
            "swallowed_stock": partial(self._swallow, "stock"),
            "swallowed_confirm": partial(self._swallow, "confirm"),
            "swallowed_accept": partial(self._swallow, "accept"),
            "recounted": self._recount,
            "trashed": self._trash,
            "token_expired": self._expire_token,
            **{kind: partial(self._spoil_page, shown) for kind, shown in PAGES.items()},
            **{kind: partial(self._stretch, kind) for kind in STRETCHES},
        }

    def _plan(self, kind: str, now: datetime) -> None:
        mean = 3600.0 / getattr(self._mischief, kind)
        after = timedelta(seconds=self._chance.uniform(0.1, 1.9) * mean)
        self._world.happen(now + after, partial(self._come, kind))

    def _come(self, kind: str, now: datetime) -> None:
        if self._quiet:
            return
        self._plan(kind, now)
        if self._acts[kind](now):
            self._count(kind)

    def _count(self, kind: str) -> None:
        self.done[kind] = self.done.get(kind, 0) + 1

    # Clocks and lists

    def _move_clock(self, now: datetime) -> bool:
        name = self._anybody()
        side = self._world.marketplaces.get(name) or self._world.shops[name]
        seconds = self._chance.uniform(-CLOCK_SECONDS, CLOCK_SECONDS)
        cast("TroubledMarketplace | TroubledShop", side).move_clock(seconds)
        return True

    def _change_zone(self, now: datetime) -> bool:
        self._shop(self._chance.pick(sorted(self._world.shops))).change_zone(self._chance.pick((-1.0, 1.0)))
        return True

    def _see_late(self, now: datetime) -> bool:
        """For a while changes are seen later than is promised."""
        name = self._chance.pick(sorted(self._world.marketplaces))
        if self._late.get(name):
            return False
        self._late[name] = self._chance.uniform(*LATE_SECONDS)
        self._marketplace(name).see_late(self._late[name])
        self._world.happen(self._soon(now), partial(self._see_in_time, name))
        return True

    def _see_in_time(self, name: str, now: datetime) -> None:
        self._marketplace(name).see_late(-self._late[name])
        self._late[name] = 0.0

    def _touch(self, now: datetime, *, most: int, backdated: bool = False) -> bool:
        """An update that changes nothing that we read, of one order or of more than a small page holds at once."""
        name = self._chance.pick(sorted(self._world.marketplaces))
        sales = list(self._world.marketplaces[name].sales(now))
        if len(sales) < most // 2 + 1:
            return False
        first = self._chance.below(len(sales))
        seconds = self._chance.uniform(*BACKDATED_SECONDS) if backdated else 0.0
        for sale in [*sales[first:], *sales[:first]][:most]:
            self._marketplace(name).touch(now, sale.order_id, seconds)
        return True

    def _spoil_page(self, kind: str, now: datetime) -> bool:
        self._marketplace(self._chance.pick(sorted(self._world.marketplaces))).spoil_page(kind)
        return False

    def _stale(self, name: str, request: Request, response: Response, now: datetime) -> Response:
        """A cache on the way: the same question gets an answer of a moment ago."""
        key = (name, request.url, request.body)
        at, kept = self._kept.get(key, (now, response))
        if kept.body != response.body and now - at <= timedelta(seconds=STALE_SECONDS):
            if self._chance.happens(self._mischief.stale):
                self._count("stale")
                return kept
        elif len(self._kept) > KEPT_MAX:
            self._kept.clear()
        if response.status == 200:
            self._kept[key] = (now, response)
        return response

    # What is not as it was promised, and people

    def _poison(self, now: datetime) -> bool:
        name = self._chance.pick(sorted(self._world.marketplaces))
        fresh = [x for x in self._world.marketplaces[name].sales(now) if x.live and not x.accepted]
        if not fresh or (name, fresh[-1].order_id) in self.planted.poisoned:
            return False
        order_id = fresh[-1].order_id
        self.planted.poisoned[name, order_id] = None
        self._marketplace(name).poison(now, order_id, self._chance.below(2))
        self._world.happen(self._soon(now), lambda at: self._marketplace(name).mend(at, order_id))
        return True

    def _swallow(self, kind: str, now: datetime) -> bool:
        self._marketplace(self._chance.pick(sorted(self._world.marketplaces))).swallow(kind)
        return True

    def _recount(self, now: datetime) -> bool:
        sku = self._chance.pick(sorted(self._world.books.initial))
        there = sum(shop.stock().get(sku, 0) for shop in self._world.shops.values())
        self._world.edit_stock(now, sku, -1 if there > 0 and self._chance.happens(0.5) else 1)
        return True

    def _trash(self, now: datetime) -> bool:
        """A person of the shop takes an order for rubbish, and later finds out."""
        name = self._chance.pick(sorted(self._world.shops))
        open_orders = [order for order in self._world.shops[name].orders() if _untouched(order)]
        if not open_orders:
            return False
        order = self._chance.pick(open_orders)
        self.planted.trashed[order.ref] = None
        self._shop(name).trash(now, order.remote_id)
        self._world.happen(self._soon(now), lambda at: self._restore(name, order.remote_id, at))
        return True

    def _expire_token(self, now: datetime) -> bool:
        """Of a side that gives any, before its time."""
        givers = [(x, y) for x, y in sorted(self._world.marketplaces.items()) if isinstance(y, GivesTokens)]
        if givers:
            self._chance.pick(givers)[1].expire(now)
        return bool(givers)

    def _restore(self, name: str, remote_id: str, now: datetime) -> None:
        """Whose buyer does not want it any more is cancelled as the shop's people do."""
        shop = self._shop(name)
        shop.restore(now, remote_id)
        ref = next(x.ref for x in self._world.shops[name].orders() if x.remote_id == remote_id)
        if self._world.wanted(ref, now):
            self._world.pack_again(name, remote_id)
        else:
            shop.cancel(now, remote_id)

    # Stretches of time in which a side is no good

    def _stretch(self, kind: str, now: datetime) -> bool:
        refuses = kind == "reads_refused"
        name = self._chance.pick(sorted(self._world.marketplaces)) if refuses else self._anybody()
        self._until[kind, name] = now + timedelta(seconds=self._chance.uniform(*STRETCH_SECONDS))
        self.planted.refuses = self.planted.refuses or refuses
        if kind == "token_revoked":
            self.planted.revoked[name] = None
        return True

    def _hindered(self, name: str, request: Request, now: datetime) -> Response | None:
        kind = next((kind for kind in STRETCHES if self._until.get((kind, name), now) > now), "")
        if kind == "reads_refused" and request.write:
            kind = ""
        html = {"content-type": "text/html"}
        match kind:
            case "":
                return None
            case "unreachable":
                raise Retry(f"no connection to {name}")
            case "token_revoked":
                return Response(401, {"content-type": "application/json"}, b"{}", 0.0)
            case "reads_refused":
                return Response(400, {"content-type": "application/json"}, b"{}", 0.0)
            case "overrun":
                return Response(429, {**html, "retry-after": "30"}, b"<html>", 0.0)
            case _:
                after = {"retry-after": "60"} if self._chance.happens(0.5) else {}
                return Response(503, {**html, **after}, b"<html>", 0.0)

    def _soon(self, now: datetime) -> datetime:
        return now + timedelta(seconds=self._chance.uniform(*MENDED_SECONDS))

    def _anybody(self) -> str:
        return self._chance.pick((*sorted(self._world.marketplaces), *sorted(self._world.shops)))

    def _marketplace(self, name: str) -> TroubledMarketplace:
        return cast("TroubledMarketplace", self._world.marketplaces[name])

    def _shop(self, name: str) -> TroubledShop:
        return cast("TroubledShop", self._world.shops[name])


def _untouched(order: ShopOrder) -> bool:
    return not order.cancelled and not order.parcels
