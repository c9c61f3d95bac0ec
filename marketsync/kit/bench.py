"""One adapter at work on one fresh far side, in a time of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from marketsync.domain.ids import DEFAULT_MERCHANT, ConnectionId, OrderId
from marketsync.domain.orders import Order, Party
from marketsync.errors import PauseConnection, Retry
from marketsync.http import AdapterSpec, BuildContext, client_of
from marketsync.kit.quality import BASE, Quality, Variant
from marketsync.kit.registry import CannotShow
from marketsync.kit.wire import Sent, Wire
from marketsync.ports import BackOffice, Marketplace, ReadsHints
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.roles import (
    AfterSale,
    AfterSalesSide,
    MarketplaceSide,
    OpenSide,
    Sale,
    ShopOrder,
    ShopSide,
    Side,
    SidePlan,
    TellsOfOrders,
    TroubledMarketplace,
    TroubledShop,
    Ware,
)

NAME = ConnectionId("kit")
ORIGIN = "https://kit.example"
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WARES = (Ware("KIT-A", 40), Ware("KIT-B", 40))
BUYER = Party(
    "Quill Canary", company="Canary Cage", email="q.canary@buyer.example", phone="+33 1 99 00 77 66"
)
TRIES_MAX = 60
FAILED_SECONDS = 30.0

T = TypeVar("T")


class Clock:
    """Time moves on by what is waited for."""

    boot_id = "kit"

    def __init__(self, at: datetime = START) -> None:
        self._at = at
        self._time = 0.0

    def now(self) -> datetime:
        return self._at + timedelta(seconds=self._time)

    def monotonic(self) -> float:
        return 1000.0 + self._time

    async def sleep(self, seconds: float) -> None:
        self._time += max(0.0, seconds)


class Ear:
    """An Observer that keeps all that was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def event(self, name: str, /, **fields: Any) -> None:
        self.said.append(f"{name} {fields}")

    def count(self, metric: str, amount: float = 1, /, **labels: str) -> None:  # noqa: ARG002 - an Observer's
        self.said.append(f"{metric} {labels}")

    def gauge(self, metric: str, value: float, /, **labels: str) -> None:  # noqa: ARG002 - an Observer's
        self.said.append(f"{metric} {labels}")

    def observe(self, metric: str, seconds: float, /, **labels: str) -> None:  # noqa: ARG002 - an Observer's
        self.said.append(f"{metric} {labels}")


class Bench:
    """The adapter behind the real client, and the side that it speaks to. Waiting costs nothing."""

    def __init__(
        self, spec: AdapterSpec, quality: Quality, side: Side, clock: Clock, settings: Mapping[str, Any]
    ) -> None:
        self.spec, self.quality, self.side, self.clock = spec, quality, side, clock
        self.ear = Ear()
        secrets = dict(side.secrets())
        stated = {**dict.fromkeys(spec.secrets, "kit"), **side.settings(ORIGIN), **settings}
        self.settings = msgspec.convert(stated, spec.settings)
        self.plan = spec.plan(self.settings, secrets)
        self.wire = Wire(side, clock, getattr(self.plan.auth, "operation", ""))
        self.http = client_of(
            self.plan, NAME, transport=self.wire, clock=clock, random=Chance(7), observer=self.ear
        )
        context = BuildContext(DEFAULT_MERCHANT, NAME, self.http, clock)
        self.adapter = spec.build(context, self.settings)

    @property
    def marketplace(self) -> Marketplace:
        return cast("Marketplace", self.adapter)

    @property
    def shop(self) -> BackOffice:
        return cast("BackOffice", self.adapter)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    async def wait(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.wire.catch_up(self.now)

    async def patient(self, ask: Callable[[], Awaitable[T]]) -> T:
        """As the engine would: what is no failure is waited out, what is one is tried again."""
        for _ in range(TRIES_MAX):
            try:
                return await ask()
            except Retry as error:
                await self.wait(error.after_seconds or FAILED_SECONDS)
        raise TimeoutError(f"no answer after {TRIES_MAX} tries")

    def budget_of(self, operation: str) -> str:
        return next((x.budget for x in self.plan.operations if x.name == operation), "")

    async def ready(self, operation: str) -> None:
        await self.patient(lambda: self.http.ready(operation))

    # A marketplace

    @property
    def market_side(self) -> MarketplaceSide:
        if not isinstance(self.side, MarketplaceSide):
            raise CannotShow("the far side is no MarketplaceSide")
        return self.side

    @property
    def troubled(self) -> TroubledMarketplace:
        if not isinstance(self.side, TroubledMarketplace):
            raise CannotShow("the far side is no TroubledMarketplace")
        return self.side

    @property
    def after_sales(self) -> AfterSalesSide:
        if not isinstance(self.side, AfterSalesSide):
            raise CannotShow("the far side is no AfterSalesSide")
        return self.side

    def after_sale(self, order_id: str) -> AfterSale:
        self.wire.catch_up(self.now)
        return self.after_sales.after_sale(self.now, order_id)

    @property
    def hint_reader(self) -> ReadsHints:
        return cast("ReadsHints", self.adapter)

    @property
    def teller(self) -> TellsOfOrders:
        if not isinstance(self.side, TellsOfOrders):
            raise CannotShow("the far side is no TellsOfOrders: it sends no messages")
        return self.side

    def place(self, *lines: tuple[str, int]) -> OrderId:
        placed = self.market_side.place_order(self.now, lines or (("KIT-A", 2), ("KIT-B", 1)))
        if placed is None:
            raise CannotShow("the far side sold nothing although it lists enough")
        return OrderId(placed)

    def sale(self, order_id: str) -> Sale:
        self.wire.catch_up(self.now)
        return next(x for x in self.market_side.sales(self.now) if x.order_id == order_id)

    async def raw(self, *order_ids: OrderId) -> dict[str, bytes]:
        """By id, in as many calls as it takes."""
        found: dict[str, bytes] = {}
        most = self.marketplace.ids_max
        for start in range(0, len(order_ids), most):
            part = order_ids[start : start + most]
            page = await self.patient(lambda part=part: self.marketplace.fetch_orders_by_ids(part))  # type: ignore[misc]
            found |= {row.order_id: row.raw for row in page.orders}
        return found

    async def read(self, order_id: OrderId) -> Order:
        for _ in range(TRIES_MAX):
            raw = (await self.raw(order_id)).get(order_id)
            if raw is not None:
                return self.marketplace.parse_order(raw)
            await self.wait(FAILED_SECONDS)
        raise CannotShow("an order that was placed is never seen by its id")

    # A shop

    @property
    def shop_side(self) -> ShopSide:
        if not isinstance(self.side, ShopSide):
            raise CannotShow("the far side is no ShopSide")
        return self.side

    @property
    def troubled_shop(self) -> TroubledShop:
        if not isinstance(self.side, TroubledShop):
            raise CannotShow("the far side is no TroubledShop")
        return self.side

    def held(self, ref: str) -> list[ShopOrder]:
        """What the shop holds under a reference of ours."""
        self.wire.catch_up(self.now)
        return [order for order in self.shop_side.orders() if order.ref == ref]

    def figure(self, sku: str) -> int:
        self.wire.catch_up(self.now)
        return self.shop_side.stock()[sku]


class Fresh:
    """Opens benches for one variant of one adapter. `called` are the operations that any of them has called."""

    def __init__(self, spec: AdapterSpec, quality: Quality, variant: str = BASE) -> None:
        self.spec, self.quality, self.name = spec, quality, variant
        self.variant = quality.kit.variants.get(variant, Variant("", ()))
        self._logs: list[list[Sent]] = []

    async def __call__(
        self, *, wares: Sequence[Ware] = WARES, settings: Mapping[str, Any] | None = None, side: Side | None = None,
        clock: Clock | None = None, traits: bool = True, secrets: Mapping[str, str] | None = None, **plan: Any,
    ) -> Bench:  # fmt: skip
        """`plan` changes the SidePlan; `side` (with its clock) is one that is there already. As the daemon does, it asks
        for the account's traits before anything else."""
        clock = clock or Clock()
        opened = side or self._open(tuple(wares), clock, plan)
        if secrets is not None:
            opened = _OtherSecrets(opened, secrets)
        own = {**self.quality.kit.setup.settings, **self.variant.settings, **(settings or {})}
        bench = Bench(self.spec, self.quality, opened, clock, own)
        self._logs.append(bench.wire.log)
        if traits:
            found = await bench.patient(bench.adapter.probe_traits)
            if found.problems:
                raise PauseConnection("the account has problems: " + "; ".join(found.problems))
        return bench

    def side(self, **plan: Any) -> Side:
        """A far side without an adapter."""
        return self._open(WARES, Clock(), plan)

    def called(self) -> list[str]:
        return list(dict.fromkeys(entry.request.operation for log in self._logs for entry in log))

    def _open(self, wares: tuple[Ware, ...], clock: Clock, changes: Mapping[str, Any]) -> Side:
        module, _, function = self.spec.sandbox.partition(":")
        opened: OpenSide = getattr(import_module(module), function)
        lag = self.quality.vendor.visibility_lag_seconds
        options = {**self.quality.kit.setup.options, **self.variant.options}
        plan = SidePlan(NAME, wares, clock.now(), visibility_lag_seconds=lag, options=options)
        return opened(replace(plan, **{**self.variant.plan, **changes}))


class _OtherSecrets:
    """A side whose secrets are told wrong."""

    def __init__(self, side: Side, secrets: Mapping[str, str]) -> None:
        self._side, self._secrets = side, secrets

    def secrets(self) -> Mapping[str, str]:
        return self._secrets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)
