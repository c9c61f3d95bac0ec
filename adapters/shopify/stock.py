"""Articles and their figures: by name from the levels of each location, all of them by a bulk operation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from adapters.shopify.api import Api
from adapters.shopify.operations import LEVELS, RESOLVE, SWEEP, SWEEP_START, SWEEP_STATE
from adapters.shopify.settings import BYPASS, Settings
from adapters.shopify.sheet import Sheet, available
from adapters.shopify.wire import Reply, errors_shown, gid, number_of, shown
from adapters.shopify.wire_stock import (
    Bulk,
    BulkData,
    BulkRun,
    BulkStart,
    LevelsData,
    Variant,
    VariantsData,
)
from marketsync.domain.ids import POOL, RemoteId, Sku
from marketsync.domain.money import BadAmount, amount
from marketsync.domain.stock import Effect, Event, StockFacts
from marketsync.errors import ReadFailed, Retry
from marketsync.ports import Article, Clock, StockFigure, StockPage

SKUS_PER_CALL = 40
NAMES_PER_CALL = 40
PAGES_MAX = 50
POLL_SECONDS = 3.0
BUSY_SECONDS = 60.0
SKU_MAX = 255
FIGURE_MAX = 10**9


class Stock:
    def __init__(self, api: Api, settings: Settings, clock: Clock) -> None:
        self._api, self._settings, self._clock = api, settings, clock

    async def resolve(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        """A SKU that no variant has, or more than one, is left out: a person mends it."""
        unique = list(dict.fromkeys(skus))
        found: dict[Sku, list[Variant]] = {}
        for start in range(0, len(unique), SKUS_PER_CALL):
            batch = unique[start : start + SKUS_PER_CALL]
            for variant in await self._search(batch):
                # The search knows no upper case and no whole words: only what is the same letter by letter counts.
                if variant.sku in batch and number_of(variant.id):
                    found.setdefault(Sku(variant.sku or ""), []).append(variant)
        return {sku: self._article(rows[0]) for sku, rows in found.items() if len(rows) == 1}

    async def read(self, articles: Sequence[Article]) -> list[StockFigure]:
        wanted = {gid("ProductVariant", article.remote_id): article.sku for article in articles}
        ids: list[str] = list(wanted)
        figures: list[StockFigure] = []
        for start in range(0, len(ids), NAMES_PER_CALL):
            batch = ids[start : start + NAMES_PER_CALL]
            data = await self._api.read("stock.read", LEVELS, Reply[LevelsData], ids=batch)
            for variant in data.nodes:
                item = variant.inventory_item if variant is not None else None
                if variant is None or item is None or variant.sku != wanted.get(variant.id):
                    continue
                if item.inventory_levels.page_info.has_next_page:
                    continue  # more locations than a read by name shows: only the sweep knows the sum
                found = [x for level in item.inventory_levels.nodes for x in available(level.quantities)]
                figures += _figures(variant, found)
        return figures

    async def sweep(self) -> StockPage:
        """All variants with their levels, in one page: what a bulk operation reads is as old as its beginning."""
        bulk = await self._bulk()
        if not bulk.url:
            return StockPage((), ())  # a shop without any article
        sheet = Sheet()
        await sheet.read((await self._api.file("stock.file", bulk.url)).body, self._clock)
        if str(bulk.object_count) != str(sheet.rows):
            raise ReadFailed("stock.sweep: the file of a bulk operation is not whole")
        return self._page(sheet)

    async def _bulk(self) -> Bulk:
        data = await self._api.read("stock.sweep", SWEEP_START, Reply[BulkStart], query=SWEEP)
        run = data.bulk_operation_run_query or BulkRun()
        if run.bulk_operation is None:
            said = errors_shown(run.user_errors)
            raise Retry(
                f"stock.sweep: another bulk operation is under way ({said})", BUSY_SECONDS, counted=False
            )
        until = self._clock.monotonic() + self._settings.sweep_within_seconds
        while self._clock.monotonic() < until:
            state = await self._api.read(
                "stock.sweep", SWEEP_STATE, Reply[BulkData], id=run.bulk_operation.id
            )
            bulk = state.bulk_operation
            if bulk is not None and bulk.status == "COMPLETED":
                return bulk
            if bulk is None or bulk.status not in ("CREATED", "RUNNING"):
                ended = f"{shown(bulk.status)} {shown(bulk.error_code or '')}" if bulk else "gone"
                raise ReadFailed(f"stock.sweep: the bulk operation ended {ended}".rstrip())
            await self._clock.sleep(POLL_SECONDS)
        raise ReadFailed("stock.sweep: the bulk operation takes longer than `sweep_within_seconds`")

    def _page(self, sheet: Sheet) -> StockPage:
        counts = Counter(variant.sku or "" for variant, _ in sheet.articles())
        single = [
            (x, found) for x, found in sheet.articles()
            if _is_sku(x.sku) and counts[x.sku or ""] == 1 and x.inventory_item and number_of(x.id)
        ]  # fmt: skip
        figures = tuple(figure for x, found in single for figure in _figures(x, found))
        return StockPage(figures, tuple(self._article(x) for x, _ in single))

    async def _search(self, skus: Sequence[Sku]) -> list[Variant]:
        search = " OR ".join(f'sku:"{_escaped(sku)}"' for sku in skus)
        variants: list[Variant] = []
        after: str | None = None
        for _ in range(PAGES_MAX):
            data = await self._api.read(
                "articles.read", RESOLVE, Reply[VariantsData], search=search, after=after
            )
            variants += data.product_variants.nodes
            after = data.product_variants.page_info.end_cursor
            if not data.product_variants.page_info.has_next_page:
                return variants
        raise ReadFailed("articles.read: the search for a few SKUs has no end")

    def _article(self, variant: Variant) -> Article:
        tracked = variant.inventory_item is not None and variant.inventory_item.tracked
        return Article(
            Sku(variant.sku or ""),
            RemoteId(number_of(variant.id)),
            tracked,
            facts(self._settings, tracked=tracked),
            _price(variant.price),
        )


@lru_cache(maxsize=8)
def facts(settings: Settings, *, tracked: bool) -> StockFacts:
    """C3: an order takes its units when it is made. With `bypass` nothing of ours ever moves the figure, so that such a
    shop is not published. Shopify picks the location: the claim is on the sum of them."""
    if not tracked or settings.inventory == BYPASS:
        return StockFacts({}, pooled=True)
    back = Effect.GIVES_BACK
    effects = {Event.CREATE: Effect.TAKES, Event.CANCEL: back, Event.LOWER: back}
    if settings.raises_take_stock:
        effects[Event.RAISE] = Effect.TAKES
    return StockFacts(effects, read_lag_seconds=settings.read_lag_seconds, pooled=True)


def _figures(variant: Variant, found: Sequence[int]) -> tuple[StockFigure, ...]:
    """The sum of what is available, below zero too (C21). What is not counted, or kept nowhere, has no figure."""
    if not _is_sku(variant.sku) or variant.inventory_item is None or not variant.inventory_item.tracked:
        return ()
    if not found or any(not -FIGURE_MAX <= quantity <= FIGURE_MAX for quantity in found):
        return ()
    return (StockFigure(Sku(variant.sku or ""), POOL, sum(found)),)


def _is_sku(text: str | None) -> bool:
    return text is not None and 0 < len(text) <= SKU_MAX and bool(text.strip()) and "\0" not in text


def _price(stated: str | None) -> Decimal | None:
    try:
        return amount(stated) if stated else None
    except BadAmount:
        return None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
