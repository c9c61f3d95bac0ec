"""How orders are read from a marketplace that keeps the contract, and what is registered under the name `rest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from adapters.rest.api import Api, Query, plan_of
from adapters.rest.marketplace.mapping import Rules, parse_order
from adapters.rest.marketplace.settings import Settings
from adapters.rest.marketplace.writers import AcceptWriter, ConfirmWriter, StockWriter
from marketsync.domain.coverage import Axis, ListTraits, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.orders import Order
from marketsync.http import AdapterSpec, BuildContext, ConnectionPlan, Role
from marketsync.http.documents import Pages
from marketsync.ports import OrderPage, Traits, Writer

PAGE_SIZE = 100
IDS_MAX = 50
PAGES = Pages(rows="orders", row_id="id")
OPERATIONS = (
    "about",
    "orders.list",
    "orders.by_ids",
    "orders.look",
    "orders.accept",
    "orders.ship",
    "stock.set",
)


class RestMarketplace:
    """A Marketplace."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http)
        self._rules = Rules(context.merchant, context.connection)
        self._writers: dict[Kind, Writer] = {
            Kind.ACCEPT: AcceptWriter(self._api, settings),
            Kind.CONFIRM: ConfirmWriter(self._api, context.connection, settings),
        }
        if settings.publish_stock:
            self._writers[Kind.STOCK] = StockWriter(self._api, settings)

    @property
    def updated(self) -> ListTraits:
        return self._list(Axis.UPDATED)

    @property
    def created(self) -> ListTraits:
        return self._list(Axis.CREATED)

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def ids_max(self) -> int:
        return IDS_MAX

    async def probe_traits(self) -> Traits:
        return await self._api.about("about", "/marketplace")

    async def fetch_orders(self, window: Window, offset: int) -> OrderPage:
        match window.axis:
            case Axis.UPDATED:
                names = ("updated_from", "updated_to")
            case Axis.CREATED:
                names = ("created_from", "created_to")
            case _:
                assert_never(window.axis)
        bounds = ((names[0], _stamp(window.lo)), (names[1], _stamp(window.hi)))
        return await self._page("orders.list", (*bounds, ("offset", str(offset)), ("limit", str(PAGE_SIZE))))

    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage:
        if len(order_ids) > IDS_MAX:
            raise ValueError(f"at most {IDS_MAX} ids at a time")
        return await self._page("orders.by_ids", tuple(("ids", order_id) for order_id in order_ids))

    def parse_order(self, raw: bytes) -> Order:
        return parse_order(raw, self._rules)

    async def _page(self, operation: str, query: Query) -> OrderPage:
        answer = await self._api.fetch(operation, "/marketplace/orders", query)
        orders, total = PAGES.split(answer.body)
        return OrderPage(orders, total, answer.server_date)

    def _list(self, axis: Axis) -> ListTraits:
        """Sorted by creation and id, with a total, both bounds inclusive: the contract says so."""
        return ListTraits(
            axis=axis, page_size=PAGE_SIZE, operation="orders.list", lag_seconds=self._settings.visibility_lag_seconds,
            overlap_seconds=self._settings.overlap_seconds, states_total=True, stable_order=True,
        )  # fmt: skip


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    return plan_of(
        settings.url, secrets["token"], credential=settings.token, calls_per_minute=settings.calls_per_minute,
        operations=OPERATIONS, allow_private=settings.allow_private,
    )  # fmt: skip


def build(context: BuildContext, settings: Settings) -> RestMarketplace:
    return RestMarketplace(context, settings)


ADAPTER = AdapterSpec(
    name="rest",
    role=Role.MARKETPLACE,
    settings=Settings,
    secrets=("token",),
    plan=plan,
    build=build,
    sandbox="adapters.rest.marketplace.rehearsal:open_side",
)


def _stamp(moment: datetime) -> str:
    """The upper bound belongs to the window as it stands: a fraction is never cut off."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
