"""Amazon (Selling Partner API): how its orders are read, and what is registered under the name `amazon`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

import msgspec

from adapters.amazon import wire
from adapters.amazon.aftersales import CancelWriter, RefundWriter, Times
from adapters.amazon.api import Api, code_of
from adapters.amazon.feeds import Feeds
from adapters.amazon.hints import read_hint
from adapters.amazon.mapping import Rules, parse_order
from adapters.amazon.shipments import ConfirmWriter
from adapters.amazon.stock import Account, StockWriter
from adapters.amazon.stores import HOSTS, STORES
from adapters.amazon.uploads import Documents
from marketsync.domain.coverage import Axis, ListTraits, Paging, Window
from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import OrderId
from marketsync.domain.orders import Order
from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec, Budget, BuildContext, ConnectionPlan, OAuth2, Operation, Role, decode
from marketsync.http.sqs import QueueAccess, SqsQueue
from marketsync.ports import HintSource, OrderPage, RawOrder, Traits, Writer

PAGE_SIZE = 100
IDS_MAX = 5
TOKEN_URL = "https://api.amazon.com/auth/o2/token"  # noqa: S105 - an address
# Amazon refuses a window that ends later than so many seconds ago.
BEHIND_SECONDS = 120.0
EXTRA_BEHIND_SECONDS = 5.0
HISTORY_DAYS = 729
ORDER_LIST_BYTES_MAX = 32 * 1024 * 1024
RATE_HEADER = "x-amzn-ratelimit-limit"
FILE_HOSTS = ("amazonaws.com",)

# One call in so many seconds, and how many at once after a rest: the published usage plans, rounded up, and one less at
# once, for calls that leave evenly arrive less so.
USAGE = {
    "searchOrders": (180.0, 19),
    "getOrder": (2.02, 29),
    "confirmShipment": (0.51, 9),
    "patchListingsItem": (0.21, 4),
    "createFeedDocument": (2.02, 14),
    "createFeed": (121.0, 14),
    "getFeed": (0.51, 14),
    "getFeeds": (45.5, 9),
    "getFeedDocument": (45.5, 9),
    "getMarketplaceParticipations": (63.0, 14),
}
# What is not published for: how often we ask for tokens and move files.
OURS = {"token": (1.0, 5), "uploadFeedDocument": (1.0, 5), "downloadFeedDocument": (1.0, 5)}
_AWS_HOST = re.compile(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com/")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One seller's account in one region. `client_secret`, `refresh_token`, `queue_access_key` and
    `queue_secret_key` name credentials.

    `marketplace_ids`: the stores that orders are read from; `stock_marketplace_ids` those that stock is set in, all of them
    if left out. `aftersales`: whether a person may cancel and refund from here. `patched_max`: more due listings than these
    go in one feed. `queue_url` is the queue that Amazon puts ORDER_CHANGE into, in the AWS region `queue_region`. `url`,
    `token_url` and `queue_endpoint_url` are the vendors' own unless they are told. The times are assumptions about the far
    side (A25).
    """

    client_id: str
    client_secret: str
    refresh_token: str
    seller_id: str
    marketplace_ids: tuple[str, ...]
    stock_marketplace_ids: tuple[str, ...] = ()
    stock: bool = True
    aftersales: bool = True
    patched_max: int = 20
    url: str | None = None
    token_url: str = TOKEN_URL
    queue_url: str = ""
    queue_region: str = ""
    queue_access_key: str = ""
    queue_secret_key: str = ""
    queue_endpoint_url: str = ""
    overlap_seconds: float = 300.0
    lands_within_seconds: float = 120.0
    visible_within_seconds: float = 300.0
    stock_lands_within_seconds: float = 1800.0
    feed_lands_within_seconds: float = 21600.0
    stock_applied_after_seconds: float = 900.0
    cancel_visible_within_seconds: float = 3600.0
    refund_visible_within_seconds: float = 900.0
    allow_private: bool = False


class Amazon:
    """A Marketplace."""

    def __init__(self, context: BuildContext, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(context.http, context.clock)
        self._rules = Rules(context.merchant, context.connection)
        self._writers: dict[Kind, Writer] = {
            Kind.CONFIRM: ConfirmWriter(
                self._api,
                context.connection,
                settings.marketplace_ids,
                settings.lands_within_seconds,
                settings.visible_within_seconds,
            )
        }
        feeds = Feeds(self._api, Documents(self._api, context.http))
        if settings.stock:
            self._writers[Kind.STOCK] = StockWriter(self._api, feeds, _stock_account(settings))
        if settings.aftersales:
            stores, times = settings.marketplace_ids, _times(settings)
            self._writers[Kind.CANCEL_SALE] = CancelWriter(self._api, feeds, self._rules, stores, times)
            self._writers[Kind.REFUND] = RefundWriter(feeds, stores, times)

    @property
    def updated(self) -> ListTraits:
        """Both bounds are inclusive; neither order nor total is promised, so that only a window that came in one page, with
        room and without a next one, is proved."""
        return self._list(Axis.UPDATED)

    @property
    def created(self) -> ListTraits:
        return self._list(Axis.CREATED)

    @property
    def writers(self) -> Mapping[Kind, Writer]:
        return self._writers

    @property
    def ids_max(self) -> int:
        """Each costs a call."""
        return IDS_MAX

    async def probe_traits(self) -> Traits:
        answer = await self._api.read("getMarketplaceParticipations", "/sellers/v1/marketplaceParticipations")
        found = decode(answer, wire.Participations, write=False).payload
        active = {x.marketplace.id: x for x in found if x.participation.is_participating}
        missing = [_store(name) for name in self._settings.marketplace_ids if name not in active]
        problems = (f"the seller does not sell in {', '.join(missing)}",) if missing else ()
        inactive = [_store(name) for name, x in active.items() if x.participation.has_suspended_listings]
        facts = {"stores": ", ".join(map(_store, active)), "listings_inactive_in": ", ".join(inactive)}
        return Traits(facts=facts, problems=problems, server_date=answer.server_date)

    def read_hint(self, message: bytes) -> tuple[OrderId, ...]:
        return read_hint(message, self._settings.seller_id)

    async def fetch_orders(self, window: Window, offset: int) -> OrderPage:
        if offset:
            raise ValueError("Amazon's lists are not paged by offset")
        match window.axis:
            case Axis.UPDATED:
                names = ("lastUpdatedAfter", "lastUpdatedBefore")
            case Axis.CREATED:
                names = ("createdAfter", "createdBefore")
            case _:
                assert_never(window.axis)
        bounds = tuple(zip(names, (_stamp(window.lo), _stamp(window.hi)), strict=True))
        return await self._api.orders(bounds, self._settings.marketplace_ids)

    async def fetch_orders_by_ids(self, order_ids: Sequence[OrderId]) -> OrderPage:
        """One call for each; what Amazon does not know is left out."""
        if len(order_ids) > IDS_MAX:
            raise ValueError(f"at most {IDS_MAX} ids at a time")
        orders: list[RawOrder] = []
        server_date: datetime | None = None
        for order_id in order_ids:
            order, date = await self._api.order(order_id)
            server_date = date or server_date
            if order is not None:
                orders.append(order)
        return OrderPage(tuple(orders), None, server_date)

    def parse_order(self, raw: bytes) -> Order:
        return parse_order(raw, self._rules)

    def _list(self, axis: Axis) -> ListTraits:
        return ListTraits(
            axis=axis,
            page_size=PAGE_SIZE,
            operation="searchOrders",
            lag_seconds=BEHIND_SECONDS,
            extra_behind_seconds=EXTRA_BEHIND_SECONDS,
            overlap_seconds=self._settings.overlap_seconds,
            paging=Paging.TOKEN,
            history_days=HISTORY_DAYS,
        )


def plan(settings: Settings, secrets: Mapping[str, str]) -> ConnectionPlan:
    """Every operation has a budget of its own, of one account with one application."""
    host = HOSTS[_region(settings)]
    budgets = [Budget(name, 1, seconds, burst, RATE_HEADER) for name, (seconds, burst) in USAGE.items()]
    budgets += [Budget(name, 1, seconds, burst) for name, (seconds, burst) in OURS.items()]
    limits = {
        "searchOrders": (60.0, ORDER_LIST_BYTES_MAX, 0),
        # What takes longer is computed anew, not sent late.
        "createFeedDocument": (6.0, 1024 * 1024, 0),
        "uploadFeedDocument": (10.0, 1024 * 1024, 0),
    }
    operations = []
    for budget in budgets:
        seconds, size, retries = limits.get(budget.name, (30.0, 8 * 1024 * 1024, 2))
        operations.append(
            Operation(budget.name, budget.name, total_seconds=seconds, body_bytes_max=size, retries=retries)
        )
    return ConnectionPlan(
        base_url=settings.url or host,
        auth=OAuth2(
            token_url=settings.token_url,
            client_id=settings.client_id,
            client_secret=secrets["client_secret"],
            refresh_token=secrets["refresh_token"],
            header="x-amz-access-token",
            prefix="",
            client_in_body=True,
            refused=_is_refused,
        ),
        credential=settings.refresh_token,
        budgets=tuple(budgets),
        operations=tuple(operations),
        allow_private=settings.allow_private,
        other_hosts=FILE_HOSTS,
    )


def build(context: BuildContext, settings: Settings) -> Amazon:
    return Amazon(context, settings)


def hints(settings: Settings, secrets: Mapping[str, str]) -> HintSource | None:
    keys = secrets.get("queue_access_key", ""), secrets.get("queue_secret_key", "")
    needed = (settings.queue_url, settings.queue_region, *keys)
    if not any(needed):
        return None
    if not all(needed):
        raise ConfigError("a queue needs all of queue_url, queue_region, queue_access_key, queue_secret_key")
    stated = _AWS_HOST.match(settings.queue_url)
    if stated and stated[1] != settings.queue_region:
        raise ConfigError(f"queue_region: the address of the queue says {stated[1]}")
    return SqsQueue(
        QueueAccess(settings.queue_url, settings.queue_region, *keys, settings.queue_endpoint_url)
    )


ADAPTER = AdapterSpec(
    name="amazon",
    role=Role.MARKETPLACE,
    settings=Settings,
    secrets=("client_secret", "refresh_token", "queue_access_key", "queue_secret_key"),
    plan=plan,
    build=build,
    hints=hints,
    sandbox="adapters.amazon.rehearsal:open_side",
    # A list may be read once in 178 seconds: what is left is for windows that were too full, and for the deep sweep.
    defaults={"poll_seconds": 240.0, "deep_span_seconds": 172_800.0, "deep_period_seconds": 86_400.0},
)


def _is_refused(status: int, body: bytes) -> bool:
    """Of a token that is over Amazon says 403 and Unauthorized, as it does of a role that is missing."""
    return status == 401 or (status == 403 and code_of(body) == "Unauthorized")


def _no_store(name: str) -> str:
    meant = [store_id for store_id, store in STORES.items() if store.country == name.upper()]
    if meant:
        return f"{name} is a country; its store is {meant[0]}"
    return f"{name} is none of Amazon's stores; see Amazon's page Marketplace IDs (Germany: A1PA6795UKMFR9)"


def _region(settings: Settings) -> str:
    named = {*settings.marketplace_ids, *settings.stock_marketplace_ids}
    if unknown := sorted(named - set(STORES)):
        raise ConfigError(f"marketplace_ids: {'; '.join(map(_no_store, unknown))}")
    regions = sorted({STORES[name].region for name in named})
    if len(regions) != 1 or not settings.marketplace_ids:
        raise ConfigError(
            "marketplace_ids: name one or more stores of one region; each region is a connection"
        )
    return regions[0]


def _stock_account(settings: Settings) -> Account:
    return Account(
        seller_id=settings.seller_id,
        marketplace_ids=settings.stock_marketplace_ids or settings.marketplace_ids,
        patched_max=settings.patched_max,
        patch_lands_within_seconds=settings.stock_lands_within_seconds,
        feed_lands_within_seconds=settings.feed_lands_within_seconds,
        applied_after_seconds=settings.stock_applied_after_seconds,
    )


def _times(settings: Settings) -> Times:
    return Times(
        lands_within=settings.lands_within_seconds,
        cancel_visible_within=settings.cancel_visible_within_seconds,
        refund_visible_within=settings.refund_visible_within_seconds,
    )


def _store(marketplace_id: str) -> str:
    known = STORES.get(marketplace_id)
    return known.country if known else "another store"


def _stamp(moment: datetime) -> str:
    utc = moment.astimezone(UTC)
    text = utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")
    return text.replace("+00:00", "Z")
