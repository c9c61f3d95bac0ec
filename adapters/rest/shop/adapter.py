"""The shop as the core sees it, and what is registered under the name `rest-shop`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.rest.api import Api, plan_of
from adapters.rest.shop.settings import Settings
from adapters.rest.shop.shipments import Shipments
from adapters.rest.shop.stock import Stock
from adapters.rest.shop.writers import CancelWriter, CreateWriter, UpdateWriter
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import Sku
from marketsync.domain.shipments import Shipment
from marketsync.http import AdapterSpec, BuildContext, ConnectionPlan, Role
from marketsync.ports import Article, OpenOrder, StockFigure, StockPage, Traits, Writer

OPEN_ORDERS_MAX = 500
OPERATIONS = (
    "about", "orders.create", "orders.look", "orders.update", "orders.cancel", "shipments.list", "articles.list",
    "articles.named",
)  # fmt: skip


class RestShop:
    """A BackOffice."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http)
        self._shipments = Shipments(self._api, settings, context.clock)
        self._stock = Stock(self._api, settings)
        self._writers: dict[Kind, Writer] = {
            Kind.CREATE: CreateWriter(self._api, settings),
            Kind.UPDATE: UpdateWriter(self._api, settings),
            Kind.CANCEL: CancelWriter(self._api, settings),
        }

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def open_orders_max(self) -> int:
        return OPEN_ORDERS_MAX

    @property
    def read_lag_seconds(self) -> float:
        return self._settings.read_lag_seconds

    async def probe_traits(self) -> Traits:
        return await self._api.about("about", "/shop")

    async def resolve_skus(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        return await self._stock.resolve(skus)

    async def fetch_shipments(self, orders: Sequence[OpenOrder]) -> Sequence[Shipment]:
        return await self._shipments.fetch(orders)

    async def sweep_stock(self, cursor: str) -> StockPage:
        return await self._stock.sweep(cursor)

    async def read_stock(self, articles: Sequence[Article]) -> Sequence[StockFigure]:
        return await self._stock.read(articles)


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    return plan_of(
        settings.url, secrets["token"], credential=settings.token, calls_per_minute=settings.calls_per_minute,
        operations=OPERATIONS, allow_private=settings.allow_private,
    )  # fmt: skip


def build(context: BuildContext, settings: Settings) -> RestShop:
    return RestShop(context, settings)


ADAPTER = AdapterSpec(
    name="rest-shop",
    role=Role.BACK_OFFICE,
    settings=Settings,
    secrets=("token",),
    plan=plan,
    build=build,
    sandbox="adapters.rest.shop.rehearsal:open_side",
)
