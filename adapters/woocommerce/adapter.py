"""The shop as the core sees it, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from adapters.woocommerce.api import OPERATIONS, Api
from adapters.woocommerce.settings import Settings
from adapters.woocommerce.shipments import Shipments
from adapters.woocommerce.stock import Stock
from adapters.woocommerce.traits import probe_traits
from adapters.woocommerce.writers import CancelWriter, CreateWriter, UpdateWriter
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import Sku
from marketsync.domain.shipments import Shipment
from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec, Basic, Budget, BuildContext, ConnectionPlan, OAuth1, Role
from marketsync.ports import Article, OpenOrder, StockFigure, StockPage, Traits, Writer


class WooCommerce:
    """A BackOffice. Its own fault stays its own: a wrong order is created without effect and not released."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http)
        self._shipments = Shipments(self._api, settings)
        self._stock = Stock(self._api, settings)
        self._writers: dict[Kind, Writer] = {
            Kind.CREATE: CreateWriter(self._api, context.http, settings),
            Kind.UPDATE: UpdateWriter(self._api, settings),
            Kind.CANCEL: CancelWriter(self._api, self._shipments, settings),
        }

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def open_orders_max(self) -> int:
        return 100

    @property
    def read_lag_seconds(self) -> float:
        return self._settings.read_lag_seconds

    async def probe_traits(self) -> Traits:
        return await probe_traits(self._api, self._settings)

    async def resolve_skus(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        return await self._stock.resolve(skus)

    async def fetch_shipments(self, orders: Sequence[OpenOrder]) -> Sequence[Shipment]:
        return await self._shipments.fetch(orders)

    async def sweep_stock(self, cursor: str) -> StockPage:
        return await self._stock.sweep(cursor)

    async def read_stock(self, articles: Sequence[Article]) -> Sequence[StockFigure]:
        return await self._stock.read(articles)


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    """Basic over TLS; over plain http WooCommerce ignores it and wants each request signed."""
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError("url: the shop's address, such as https://shop.example")
    if "/wp-json" in url.path:
        raise ConfigError("url: the shop's address alone, without /wp-json and what follows")
    if settings.released_status == "completed" and settings.shipments != "fulfillments":
        raise ConfigError(
            'released_status: "completed" says nothing of parcels: set shipments to "fulfillments"'
        )
    if settings.calls_per_minute < 1:
        raise ConfigError("calls_per_minute: at least 1")
    key, secret = secrets["consumer_key"], secrets["consumer_secret"]
    burst = min(10, settings.calls_per_minute)
    return ConnectionPlan(
        base_url=settings.url.rstrip("/") + "/wp-json",
        auth=Basic(key, secret) if url.scheme == "https" else OAuth1(key, secret),
        credential=f"woocommerce:{url.netloc}:{settings.consumer_key}",
        budgets=(Budget("api", settings.calls_per_minute, 60.0, burst),),
        operations=OPERATIONS,
        allow_private=settings.allow_private,
    )


ADAPTER = AdapterSpec(
    name="woocommerce",
    role=Role.BACK_OFFICE,
    settings=Settings,
    secrets=("consumer_key", "consumer_secret"),
    plan=plan,
    build=WooCommerce,
    sandbox="adapters.woocommerce.rehearsal:open_side",
)
