"""Articles and their figures: what is there and neither reserved nor sold, never what is only expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.odoo.api import Api
from adapters.odoo.books import Library
from adapters.odoo.settings import Settings
from adapters.odoo.wire import Product, is_number, text
from marketsync.domain.ids import POOL, RemoteId, Sku
from marketsync.domain.money import BadAmount, amount
from marketsync.domain.stock import Effect, Event, StockFacts
from marketsync.ports import Article, StockFigure, StockPage

PAGE = 100
SKU_MAX = 255
FIGURE_MAX = 10**9
READ = "products.read"
_FIELDS = ("default_code", "type", "lst_price", "free_qty", "qty_available", "outgoing_qty")


class Stock:
    """A product has no stamp that its stock moves: it is swept, or read by name."""

    def __init__(self, api: Api, library: Library, settings: Settings) -> None:
        self._api, self._library, self._settings = api, library, settings

    async def resolve(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        """An internal reference may stand on several articles: then a person mends it."""
        found: dict[Sku, list[Product]] = {}
        unique = list(dict.fromkeys(skus))
        for start in range(0, len(unique), PAGE):
            batch = unique[start : start + PAGE]
            for product in await self._search([["default_code", "in", list(batch)]], limit=PAGE * 5):
                if text(product.default_code) in batch:
                    found.setdefault(Sku(text(product.default_code)), []).append(product)
        return {sku: self._article(rows[0]) for sku, rows in found.items() if len(rows) == 1}

    async def read(self, articles: Sequence[Article]) -> list[StockFigure]:
        figures: list[StockFigure] = []
        for start in range(0, len(articles), PAGE):
            batch = {article.remote_id: article.sku for article in articles[start : start + PAGE]}
            rows = await self._search([["id", "in", [int(number) for number in batch]]], limit=PAGE)
            figures += [
                x for row in rows if batch.get(_remote_id(row)) == row.default_code for x in _figures(row)
            ]
        return figures

    async def sweep(self, cursor: str) -> StockPage:
        """In order of their references, so that those who share one come together. The cursor is the last one read."""
        domain: list[list[object]] = (
            [["default_code", ">", cursor]] if cursor else [["default_code", "!=", False]]
        )
        rows = await self._search(domain, limit=PAGE + 1, order="default_code, id")
        following = ""
        if len(rows) > PAGE:
            last = text(rows[-1].default_code)
            # Whoever shares the reference of the first row left out comes with it.
            kept = [row for row in rows if text(row.default_code) != last]
            following = text(kept[-1].default_code) if kept else last
            rows = kept
        counts: dict[str, int] = {}
        for row in rows:
            counts[text(row.default_code)] = counts.get(text(row.default_code), 0) + 1
        single = [x for x in rows if counts[text(x.default_code)] == 1 and _is_sku(text(x.default_code))]
        figures = tuple(figure for x in single for figure in _figures(x))
        return StockPage(figures, tuple(self._article(x) for x in single), following)

    async def _search(self, domain: list[list[object]], **how: object) -> list[Product]:
        books = await self._library.books()
        fields = [*_FIELDS, "is_storable"] if books.storable else list(_FIELDS)
        warehouse = self._settings.warehouse_id
        # The key of this context was renamed with Odoo 18.
        context = {"warehouse_id": warehouse, "warehouse": warehouse} if warehouse else {}
        return await self._api.search(
            READ, "product.product", domain, fields, Product, context=context, **how
        )

    def _article(self, product: Product) -> Article:
        tracked = _is_tracked(product)
        stated = facts(self._settings) if tracked else StockFacts({})
        return Article(Sku(text(product.default_code)), _remote_id(product), tracked, stated, _price(product))


def facts(settings: Settings) -> StockFacts:
    """What was seen on a real server: a quotation takes nothing, a confirmed order takes; a parcel moves both sides."""
    effects = {
        Event.RELEASE: Effect.TAKES, Event.CANCEL: Effect.GIVES_BACK, Event.RAISE: Effect.TAKES, Event.LOWER: Effect.GIVES_BACK,
    }  # fmt: skip
    return StockFacts(effects, read_lag_seconds=settings.read_lag_seconds)


def _figures(product: Product) -> tuple[StockFigure, ...]:
    """`free_qty` ends at none, whatever was sold: beside it stands what is there less all that is to go, which shows the
    debt. The lower one counts; neither has what is only expected."""
    if not _is_tracked(product):
        return ()
    if not all(map(is_number, (product.free_qty, product.qty_available, product.outgoing_qty))):
        return ()
    figures = (product.free_qty, product.qty_available - product.outgoing_qty)
    if not all(-FIGURE_MAX <= figure <= FIGURE_MAX for figure in figures):
        return ()
    return (StockFigure(Sku(text(product.default_code)), POOL, math.floor(min(figures))),)


def _is_tracked(product: Product) -> bool:
    return product.type == "product" if product.is_storable is None else product.is_storable


def _is_sku(code: str) -> bool:
    return 0 < len(code) <= SKU_MAX and bool(code.strip())


def _remote_id(product: Product) -> RemoteId:
    return RemoteId(str(product.id))


def _price(product: Product) -> Decimal | None:
    try:
        return amount(str(product.lst_price)) if product.lst_price else None
    except BadAmount:
        return None
