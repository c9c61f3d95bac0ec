"""The facts of stock: what the shop reported and what it has to sell. No figure here is ever added to (design D9)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from marketsync.domain.ids import Sku
from marketsync.domain.stock import Report
from marketsync.ports import Article
from marketsync.store.claims import (
    add_parcels,
    add_steps,
    claims_of_orders,
    claims_of_skus,
    closable,
    close_claims,
    mature_parcels,
    mature_steps,
    put_claims,
    remove_steps,
    send_steps,
    set_accepted,
    set_allocated,
    settle_many,
    settle_steps,
    skus_due_by_name,
    unmatured,
    unmatured_parcels,
    waiting_orders,
)
from marketsync.store.columns import encode, micros
from marketsync.store.unit import Unit

__all__ = [
    "add_parcels",
    "add_steps",
    "article_page",
    "articles",
    "claims_of_orders",
    "claims_of_skus",
    "closable",
    "close_claims",
    "mature_parcels",
    "mature_steps",
    "put_articles",
    "put_claims",
    "put_reports",
    "remove_steps",
    "reported_skus",
    "reports",
    "send_steps",
    "set_accepted",
    "set_allocated",
    "settle_many",
    "settle_steps",
    "skus_due_by_name",
    "unmatured",
    "unmatured_parcels",
    "waiting_orders",
]

_article = msgspec.json.Decoder(Article)


async def put_articles(
    unit: Unit, merchant: str, back_office: str, articles: Sequence[Article], at: datetime
) -> None:
    await unit.execute_many(
        """INSERT INTO articles (merchant, back_office, sku, document, at) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (merchant, back_office, sku) DO UPDATE SET document = excluded.document, at = excluded.at""",
        [(merchant, back_office, article.sku, encode(article), micros(at)) for article in articles],
    )


async def articles(unit: Unit, merchant: str, back_office: str, skus: Sequence[str]) -> dict[Sku, Article]:
    if not skus:
        return {}
    rows = await unit.fetch(
        "SELECT sku, document FROM articles WHERE merchant = ? AND back_office = ? AND sku = ANY(?)",
        merchant, back_office, list(skus),
    )  # fmt: skip
    return {Sku(sku): _article.decode(document) for sku, document in rows}


async def article_page(
    unit: Unit, merchant: str, back_office: str, after_sku: str, limit: int
) -> list[Article]:
    """By SKU, those after `after_sku`."""
    rows = await unit.fetch(
        "SELECT document FROM articles WHERE merchant = ? AND back_office = ? AND sku > ? ORDER BY sku LIMIT ?",
        merchant, back_office, after_sku, limit,
    )  # fmt: skip
    return [_article.decode(document) for (document,) in rows]


async def put_reports(unit: Unit, merchant: str, pool: str, reports: Sequence[Report], at: datetime) -> int:
    """C2: a report replaces the held one only if its read began later. How many were taken."""
    return await unit.execute_many(
        """INSERT INTO reports (merchant, pool, sku, location, value, begin_seq, end_seq, at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (merchant, pool, sku, location) DO UPDATE SET value = excluded.value,
            begin_seq = excluded.begin_seq, end_seq = excluded.end_seq, at = excluded.at
            WHERE excluded.begin_seq > reports.begin_seq""",
        [(merchant, pool, r.sku, r.location, r.value, r.begin_seq, r.end_seq, micros(at)) for r in reports],
    )


async def reports(unit: Unit, merchant: str, pool: str, skus: Sequence[str]) -> dict[str, list[Report]]:
    """The held report of each location, by SKU; an empty list where there is none."""
    rows = await unit.fetch(
        """SELECT sku, location, value, begin_seq, end_seq FROM reports
            WHERE merchant = ? AND pool = ? AND sku = ANY(?) ORDER BY sku, location""",
        merchant, pool, list(skus),
    )  # fmt: skip
    found: dict[str, list[Report]] = {sku: [] for sku in skus}
    for row in rows:
        found[row[0]].append(Report(*row))
    return found


async def reported_skus(unit: Unit, merchant: str, pool: str, after_sku: str, limit: int) -> list[str]:
    """By SKU, those after `after_sku` of which any figure is held."""
    rows = await unit.fetch(
        """SELECT DISTINCT sku FROM reports WHERE merchant = ? AND pool = ? AND sku > ? ORDER BY sku LIMIT ?""",
        merchant, pool, after_sku, limit,
    )  # fmt: skip
    return [sku for (sku,) in rows]
