"""Articles and their figures. The stamp of a product does not move when an order changes its stock: sweep, or read by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from adapters.woocommerce.api import PAGE, V3, Api, total_header
from adapters.woocommerce.orders import split_id
from adapters.woocommerce.settings import Settings
from adapters.woocommerce.wire import Product
from marketsync.domain.ids import POOL, RemoteId, Sku
from marketsync.domain.money import BadAmount, amount
from marketsync.domain.stock import Effect, Event, StockFacts
from marketsync.errors import Refused
from marketsync.http import decode
from marketsync.ports import Article, StockFigure, StockPage

SKUS_PER_CALL = 40
NO_ARTICLE = ("variable", "grouped", "external")
SKU_MAX = 255
FIGURE_MAX = 10**9
_FIELDS = "id,sku,type,parent_id,manage_stock,stock_quantity,price"


class Stock:
    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    async def resolve(self, skus: Sequence[Sku]) -> Mapping[Sku, Article]:
        """A SKU that no article has, or more than one, is left out: a person mends it."""
        found = await self._by_sku(skus)
        return {sku: self._article(products[0]) for sku, products in found.items() if len(products) == 1}

    async def read(self, articles: Sequence[Article]) -> list[StockFigure]:
        simple = [article for article in articles if not split_id(article.remote_id)[1]]
        others = [article.sku for article in articles if split_id(article.remote_id)[1]]
        products = [product for group in (await self._by_sku(others)).values() for product in group]
        for start in range(0, len(simple), PAGE):
            ids = ",".join(article.remote_id for article in simple[start : start + PAGE])
            products += await self._api.get(
                "products.read",
                f"{V3}/products",
                list[Product],
                include=ids,
                per_page=str(PAGE),
                _fields=_FIELDS,
            )
        wanted = {(article.sku, article.remote_id) for article in articles}
        return [figure for x in products if (x.sku, _remote_id(x)) in wanted for figure in _figures(x)]

    async def sweep(self, cursor: str) -> StockPage:
        """One list of the shop per call. The cursor is "<next page of products>:<parents to read>:<page of the first>"."""
        next_page, parents, child_page = _parse(cursor)
        if parents:
            return await self._variations(next_page, parents, child_page)
        answer = await self._api.fetch(
            "products.read", f"{V3}/products", orderby="id", order="asc", per_page=str(PAGE),
            page=str(next_page), _fields=_FIELDS,
        )  # fmt: skip
        products = decode(answer, list[Product], write=False)
        following = 0 if _is_last(total_header(answer), next_page, len(products)) else next_page + 1
        parents = [f"{x.id}" for x in products if x.type == "variable"]
        return self._page(products, _cursor(following, parents, 1))

    async def _variations(self, next_page: int, parents: list[str], page: int) -> StockPage:
        parent = parents[0]
        path = f"{V3}/products/{parent}/variations"
        try:
            answer = await self._api.fetch(
                "products.read",
                path,
                orderby="id",
                order="asc",
                per_page=str(PAGE),
                page=str(page),
                _fields=_FIELDS,
            )
        except Refused as refused:
            if refused.status != 404:
                raise
            return StockPage((), (), _cursor(next_page, parents[1:], 1))  # deleted since its page was read
        products = [_with_parent(x, int(parent)) for x in decode(answer, list[Product], write=False)]
        if _is_last(total_header(answer), page, len(products)):
            return self._page(products, _cursor(next_page, parents[1:], 1))
        return self._page(products, _cursor(next_page, parents, page + 1))

    def _page(self, products: Sequence[Product], cursor: str) -> StockPage:
        # A variation without a SKU of its own shows its parent's: several rows with one SKU are nobody's.
        own = [x for x in products if _is_sku(x.sku) and x.type not in NO_ARTICLE]
        counts = {x.sku: sum(y.sku == x.sku for y in own) for x in own}
        single = [x for x in own if counts[x.sku] == 1]
        figures = tuple(figure for x in single for figure in _figures(x))
        return StockPage(figures, tuple(self._article(x) for x in single), cursor)

    async def _by_sku(self, skus: Sequence[Sku]) -> dict[Sku, list[Product]]:
        """Assumes that `products?sku=a,b` finds variations too; what comes back is compared letter by letter."""
        found: dict[Sku, list[Product]] = {}
        unique = list(dict.fromkeys(skus))
        for start in range(0, len(unique), SKUS_PER_CALL):
            batch = unique[start : start + SKUS_PER_CALL]
            products = await self._api.get(
                "products.read",
                f"{V3}/products",
                list[Product],
                sku=",".join(batch),
                per_page=str(PAGE),
                _fields=_FIELDS,
            )
            for product in products:
                if product.sku in batch and product.type not in NO_ARTICLE:
                    found.setdefault(Sku(product.sku), []).append(product)
        return found

    def _article(self, product: Product) -> Article:
        tracked = product.manage_stock is True or product.manage_stock == "parent"
        return Article(
            Sku(product.sku),
            _remote_id(product),
            tracked,
            facts(self._settings, tracked=tracked),
            _price(product),
        )


def facts(settings: Settings, *, tracked: bool) -> StockFacts:
    """What was seen on a real shop: `pending` takes nothing, a released state takes, cancelled gives back."""
    if not tracked:
        return StockFacts({})
    effects = {Event.RELEASE: Effect.TAKES, Event.CANCEL: Effect.GIVES_BACK}
    if settings.edits_move_stock:
        effects |= {Event.RAISE: Effect.TAKES, Event.LOWER: Effect.GIVES_BACK}
    return StockFacts(effects, read_lag_seconds=settings.read_lag_seconds)


def _figures(product: Product) -> tuple[StockFigure, ...]:
    """Below zero is kept (C21); a fraction of a unit can't be sold; what is not counted has no figure."""
    quantity = product.stock_quantity
    if product.type in NO_ARTICLE or product.manage_stock in (False, "no") or quantity is None:
        return ()
    # Before `floor`: written out, 1e999999999 would fill the memory.
    if not quantity.is_finite() or not -FIGURE_MAX <= quantity <= FIGURE_MAX:
        return ()
    return (StockFigure(Sku(product.sku), POOL, math.floor(quantity)),)


def _is_sku(text: str) -> bool:
    return 0 < len(text) <= SKU_MAX and bool(text.strip()) and "\0" not in text


def _remote_id(product: Product) -> RemoteId:
    is_variation = product.type == "variation" and product.parent_id
    return RemoteId(f"{product.parent_id}/{product.id}" if is_variation else str(product.id))


def _with_parent(product: Product, parent_id: int) -> Product:
    return Product(
        product.id,
        product.sku,
        "variation",
        parent_id,
        product.manage_stock,
        product.stock_quantity,
        product.price,
    )


def _price(product: Product) -> Decimal | None:
    try:
        return amount(product.price) if product.price else None
    except BadAmount:
        return None


def _is_last(total: int | None, page: int, rows: int) -> bool:
    return rows < PAGE if total is None else rows == 0 or page * PAGE >= total


def _cursor(next_page: int, parents: Sequence[str], child_page: int) -> str:
    return f"{next_page}:{','.join(parents)}:{child_page}" if next_page or parents else ""


def _parse(cursor: str) -> tuple[int, list[str], int]:
    page, parents, child_page = (cursor or "1::1").split(":")
    return int(page), [x for x in parents.split(",") if x], int(child_page)
