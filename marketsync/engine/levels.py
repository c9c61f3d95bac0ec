"""What is available of each SKU, derived every time from reports, claims and who waits for its acceptance (C6, C13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from marketsync.domain.allocation import Allocation, Wanted, allocate, waiting_orders, waits
from marketsync.domain.ids import POOL, ConnectionId, MerchantId, Sku
from marketsync.domain.stock import Claim, Level, Report, StockFacts, availability
from marketsync.ports import Article
from marketsync.store import Unit, stock


class Picture(msgspec.Struct, frozen=True):
    """Stock of some SKUs. `levels` are less all that subtract; `base` are without the orders in `waiting`."""

    reports: dict[str, list[Report]]
    claims: dict[str, list[Claim]]
    articles: dict[Sku, Article]
    levels: dict[str, Level | None]
    base: dict[tuple[str, str], Level | None]
    waiting: tuple[Wanted, ...]

    def facts(self, sku: str) -> StockFacts:
        article = self.articles.get(Sku(sku))
        return StockFacts(effects={}) if article is None else article.facts


async def picture(unit: Unit, merchant: MerchantId, pool: ConnectionId, skus: Sequence[str]) -> Picture:
    """The stock of these SKUs and of all that the waiting orders want, as of this transaction."""
    queue = [claim for _, _, claims in await stock.waiting_orders(unit, merchant, pool) for claim in claims]
    waiting = waiting_orders(queue)
    wanted = [key[0] for order in waiting for key, _ in order.wants]
    every = list(dict.fromkeys((*skus, *wanted)))
    reports = await stock.reports(unit, merchant, pool, every)
    claims = await stock.claims_of_skus(unit, merchant, pool, every)
    articles = await stock.articles(unit, merchant, pool, [Sku(sku) for sku in every])
    base = {
        (sku, POOL): _level(
            reports.get(sku, ()), _without_waiting(claims.get(sku, ())), articles.get(Sku(sku))
        )
        for sku in every
    }
    allocated = {ref for ref, state in allocate(waiting, base).items() if state is Allocation.ALLOCATED}
    taken = {key[0] for order in waiting if order.order_ref in allocated for key, _ in order.wants}
    levels = {
        sku: _level(
            reports.get(sku, ()),
            [replace(c, allocated=c.order_ref in allocated) for c in claims.get(sku, ())],
            articles.get(Sku(sku)),
        )
        if sku in taken
        else base[sku, POOL]
        for sku in every
    }
    return Picture(reports, claims, articles, levels, base, waiting)


def _level(reports: Sequence[Report], claims: Iterable[Claim], article: Article | None) -> Level | None:
    if article is None or not article.tracked:
        return None
    return availability(reports, claims, article.facts)


def _without_waiting(claims: Iterable[Claim]) -> list[Claim]:
    return [claim for claim in claims if not waits(claim)]
