"""The shop as the core sees it, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from adapters.shopify.aftersales import Aftersales
from adapters.shopify.api import ADJUSTING, OPERATIONS, Api
from adapters.shopify.edits import AdjustWriter, UpdateWriter
from adapters.shopify.settings import API_VERSION, BYPASS, Settings
from adapters.shopify.shipments import Shipments
from adapters.shopify.stock import Stock
from adapters.shopify.traits import probe_traits
from adapters.shopify.writers import CancelWriter, CreateWriter
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import Sku
from marketsync.domain.shipments import Shipment
from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec, ApiKey, Budget, BuildContext, ConnectionPlan, Role
from marketsync.ports import Aftersale, Article, OpenOrder, StockFigure, StockPage, Traits, Writer

POINTS_PER_CALL = 20
"""What a call of ours costs on average, roundly; each answer tells what is really left."""
CREATES_BURST = 10
CALLS_BURST = 20


class Shopify:
    """A BackOffice. An order is live as soon as it is made: what is wrong with it is told, and can't be held back."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http, settings)
        self._shipments = Shipments(self._api, settings)
        self._aftersales = Aftersales(self._api, settings)
        self._stock = Stock(self._api, settings, context.clock)
        self._writers: dict[Kind, Writer] = {
            Kind.CREATE: CreateWriter(self._api, settings),
            Kind.UPDATE: UpdateWriter(self._api, settings),
            Kind.CANCEL: CancelWriter(self._api, settings),
        }
        if _adjusts(settings):
            self._writers[Kind.ADJUST] = AdjustWriter(self._api, settings)

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def open_orders_max(self) -> int:
        return 10 * self._settings.orders_per_call

    @property
    def read_lag_seconds(self) -> float:
        return self._settings.read_lag_seconds

    async def probe_traits(self) -> Traits:
        return await probe_traits(self._api, self._settings)

    async def resolve_skus(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        return await self._stock.resolve(skus)

    async def fetch_shipments(self, orders: Sequence[OpenOrder]) -> Sequence[Shipment]:
        return await self._shipments.fetch(orders)

    async def fetch_aftersales(self, orders: Sequence[OpenOrder]) -> Sequence[Aftersale]:
        return await self._aftersales.fetch(orders)

    async def sweep_stock(self, cursor: str) -> StockPage:
        return await self._stock.sweep()

    async def read_stock(self, articles: Sequence[Article]) -> Sequence[StockFigure]:
        return await self._stock.read(articles)


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    url = urlsplit(settings.url)
    if (
        url.scheme not in ("http", "https")
        or not url.hostname
        or url.query
        or url.fragment
        or "@" in url.netloc
    ):
        raise ConfigError("url: the shop's own address, such as https://NAME.myshopify.com")
    if "/admin" in url.path:
        raise ConfigError("url: the shop's own address alone, without /admin and what follows")
    if min(settings.points_per_second, settings.creates_per_minute, settings.orders_per_call) < 1:
        raise ConfigError("points_per_second, creates_per_minute and orders_per_call: at least 1")
    if settings.location and not (settings.location.isascii() and settings.location.isdigit()):
        raise ConfigError("location: the number at the end of the location's address in the admin")
    calls = max(1, settings.points_per_second * 60 // POINTS_PER_CALL)
    return ConnectionPlan(
        base_url=f"{settings.url.rstrip('/')}/admin/api/{API_VERSION}",
        auth=ApiKey("X-Shopify-Access-Token", secrets["access_token"]),
        credential=f"shopify:{url.netloc}",
        budgets=(
            Budget("api", calls, 60.0, min(CALLS_BURST, calls)),
            Budget("orders", settings.creates_per_minute, 60.0, min(CREATES_BURST, settings.creates_per_minute)),
        ),
        operations=(*OPERATIONS, ADJUSTING) if _adjusts(settings) else OPERATIONS,
        allow_private=settings.allow_private,
        # Where the files of bulk operations lie.
        other_hosts=("googleapis.com",),
    )  # fmt: skip


def _adjusts(settings: Settings) -> bool:
    return settings.inventory == BYPASS and bool(settings.location)


ADAPTER = AdapterSpec(
    name="shopify",
    role=Role.BACK_OFFICE,
    settings=Settings,
    secrets=("access_token",),
    plan=plan,
    build=Shopify,
    sandbox="adapters.shopify.rehearsal:open_side",
)
