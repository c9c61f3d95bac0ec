"""The shop as the core sees it, and how it is put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from urllib.parse import urlsplit

from adapters.odoo.api import KEY_MARK, OPERATIONS, Api
from adapters.odoo.books import Library
from adapters.odoo.settings import Settings
from adapters.odoo.shipments import Shipments
from adapters.odoo.stock import Stock
from adapters.odoo.writers import CancelWriter, CreateWriter, Orders, UpdateWriter
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import RemoteId, Sku
from marketsync.domain.money import BadAmount, currency
from marketsync.domain.shipments import Shipment
from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec, ApiKey, Budget, BuildContext, ConnectionPlan, InBody, Role
from marketsync.ports import Aftersale, Article, OpenOrder, StockFigure, StockPage, Traits, Writer


class Odoo:
    """A BackOffice. Its own fault stays its own: a wrong order is a quotation that is not confirmed."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        api = Api(context.http, settings)
        self._library = Library(api, settings)
        self._shipments = Shipments(api, self._library, settings)
        self._stock = Stock(api, self._library, settings)
        self._orders = held = Orders(api, context.clock, settings.visible_within_seconds)
        self._writers: dict[Kind, Writer] = {
            Kind.CREATE: CreateWriter(api, held, self._library, settings),
            Kind.UPDATE: UpdateWriter(api, held, self._shipments, self._library, settings),
            Kind.CANCEL: CancelWriter(api, held, self._shipments, settings),
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
        return await self._library.traits()

    async def resolve_skus(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        return await self._stock.resolve(skus)

    async def fetch_shipments(self, orders: Sequence[OpenOrder]) -> Sequence[Shipment]:
        return await self._shipments.fetch(orders)

    async def fetch_aftersales(self, orders: Sequence[OpenOrder]) -> Sequence[Aftersale]:
        """Orders that are cancelled here and wanted there: our own cancels follow the marketplace's."""
        wanted = {x.remote_id: x for x in orders if any(line.wanted for line in x.order.lines)}
        if not wanted:
            return ()
        gone = [wanted[RemoteId(x)] for x in await self._orders.cancelled(list(wanted)) if x in wanted]
        return [
            Aftersale(x.ref, RemoteId(f"{x.remote_id}:cancel"), f"order {x.remote_id} was cancelled")
            for x in gone
        ]

    async def sweep_stock(self, cursor: str) -> StockPage:
        return await self._stock.sweep(cursor)

    async def read_stock(self, articles: Sequence[Article]) -> Sequence[StockFigure]:
        return await self._stock.read(articles)


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    url = urlsplit(settings.url)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
        raise ConfigError("url: the server's address, such as https://odoo.example")
    if url.path.strip("/"):
        raise ConfigError("url: the server's address alone, without /web and what follows")
    if settings.protocol == "json-rpc" and not settings.login:
        raise ConfigError("login: JSON-RPC asks for the user's name beside the key")
    if settings.calls_per_minute < 1:
        raise ConfigError("calls_per_minute: at least 1")
    if not 0 <= settings.price_digits <= 6:
        raise ConfigError("price_digits: 0 to 6, as Odoo's decimal accuracy *Product Price* says")
    _check_taxes(settings.taxes)
    for code, number in settings.pricelists.items():
        if not _is_currency(code) or number < 1:
            raise ConfigError(
                "pricelists: a currency's three capital letters and a price list's number, such as { SEK = 3 }"
            )
    key = secrets["api_key"]
    burst = min(10, settings.calls_per_minute)
    return ConnectionPlan(
        base_url=settings.url.rstrip("/"),
        auth=ApiKey("Authorization", f"bearer {key}")
        if settings.protocol == "json-2"
        else InBody(KEY_MARK, key),
        credential=f"odoo:{url.netloc}:{settings.database}:{settings.api_key}",
        budgets=(Budget("api", settings.calls_per_minute, 60.0, burst),),
        operations=OPERATIONS,
        allow_private=settings.allow_private,
    )


def _check_taxes(taxes: Mapping[str, int]) -> None:
    seen: dict[Decimal, str] = {}
    for rate, number in taxes.items():
        if not _is_rate(rate):
            raise ConfigError(f'taxes: {rate!r} is no rate in percent: digits alone, such as "20" or "5.5"')
        if number < 1:
            raise ConfigError(f"taxes: {number} (for {rate} %) is not the number of a record")
        if other := seen.get(Decimal(rate)):
            raise ConfigError(f'taxes: "{other}" and "{rate}" are one rate')
        seen[Decimal(rate)] = rate


def _is_currency(code: str) -> bool:
    try:
        return currency(code) == code
    except BadAmount:
        return False


def _is_rate(rate: str) -> bool:
    try:
        return 0 <= Decimal(rate) <= 100
    except InvalidOperation:
        return False


ADAPTER = AdapterSpec(
    name="odoo",
    role=Role.BACK_OFFICE,
    settings=Settings,
    secrets=("api_key",),
    plan=plan,
    build=Odoo,
    sandbox="adapters.odoo.rehearsal:open_side",
)
