"""Articles and their figures, by SKU, by the shop's own ids, or all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.rest import wire
from adapters.rest.api import Api, is_name
from adapters.rest.shop.settings import Settings
from marketsync.domain.ids import POOL, RemoteId, Sku
from marketsync.domain.money import BadAmount, amount
from marketsync.domain.stock import Effect, Event, StockFacts
from marketsync.errors import ReadFailed
from marketsync.ports import Article, StockFigure, StockPage

NAMES_MAX = 50
PAGE = 100


class Stock:
    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    async def resolve(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        """A SKU that no article has, or more than one, is left out: a person mends it."""
        found: dict[Sku, list[wire.Article]] = {}
        wanted = {str(sku) for sku in skus}
        for article in await self._named("skus", list(dict.fromkeys(skus))):
            if article.sku in wanted:
                found.setdefault(Sku(article.sku), []).append(article)
        return {sku: self._article(rows[0]) for sku, rows in found.items() if len(rows) == 1}

    async def read(self, articles: Sequence[Article]) -> list[StockFigure]:
        rows = await self._named("ids", [article.remote_id for article in articles])
        wanted = {(article.sku, article.remote_id) for article in articles}
        return [figure for x in rows if (x.sku, x.id) in wanted for figure in _figures(x)]

    async def sweep(self, cursor: str) -> StockPage:
        query = (("limit", str(PAGE)), *((("cursor", cursor),) if cursor else ()))
        page = await self._api.get("articles.list", "/shop/articles", wire.ArticlePage, query)
        rows = _usable(page.articles)
        if page.next is not None and page.next == cursor:
            raise ReadFailed("articles.list: a page leads to itself")
        counts: dict[str, int] = {}
        for row in rows:
            counts[row.sku] = counts.get(row.sku, 0) + 1
        single = [row for row in rows if counts[row.sku] == 1]
        figures = tuple(figure for row in single for figure in _figures(row))
        return StockPage(figures, tuple(self._article(row) for row in single), page.next or "")

    async def _named(self, name: str, values: Sequence[str]) -> list[wire.Article]:
        rows: list[wire.Article] = []
        for start in range(0, len(values), NAMES_MAX):
            query = tuple((name, value) for value in values[start : start + NAMES_MAX])
            page = await self._api.get("articles.named", "/shop/articles", wire.ArticlePage, query)
            if page.next is not None:
                raise ReadFailed("articles.named: what was asked for by name comes in one page")
            rows += _usable(page.articles)
        return rows

    def _article(self, row: wire.Article) -> Article:
        tracked = row.available is not None
        return Article(
            Sku(row.sku), RemoteId(row.id), tracked, facts(self._settings, tracked=tracked), _price(row)
        )


def facts(settings: Settings, *, tracked: bool) -> StockFacts:
    """The contract says it: what is promised to a buyer of ours is not available to another."""
    if not tracked:
        return StockFacts({})
    effects = {
        Event.CREATE: Effect.TAKES,
        Event.RAISE: Effect.TAKES,
        Event.LOWER: Effect.GIVES_BACK,
        Event.CANCEL: Effect.GIVES_BACK,
    }
    return StockFacts(effects, read_lag_seconds=settings.read_lag_seconds)


def _usable(rows: Sequence[wire.Article]) -> list[wire.Article]:
    """An id that no store takes is nobody's: it costs only itself."""
    return [row for row in rows if is_name(row.id) and is_name(row.sku)]


def _figures(row: wire.Article) -> tuple[StockFigure, ...]:
    return () if row.available is None else (StockFigure(Sku(row.sku), POOL, row.available),)


def _price(row: wire.Article) -> Decimal | None:
    try:
        return None if row.price is None else amount(row.price)
    except BadAmount:
        return None
