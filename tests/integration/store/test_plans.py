from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from marketsync.domain.deliveries import Kind
from marketsync.domain.ids import Reference
from marketsync.store import deliveries, links, listings, open_store, orders, stock
from marketsync.store.dialect import for_sqlite
from marketsync.store.unit import Row
from tests.integration.store.conftest import CrashAt, FixedClock, FixedRandom


class Recorder:
    """A Unit that only remembers what it was asked."""

    epoch = 1

    def __init__(self) -> None:
        self.sql: list[str] = []

    async def fetch(self, sql: str, *args: Any) -> list[Row]:
        self.sql.append(sql)
        return []

    async def execute(self, sql: str, *args: Any) -> int:
        self.sql.append(sql)
        return 1

    async def execute_many(self, sql: str, rows: Sequence[Row]) -> int:
        self.sql.append(sql)
        return len(rows)

    def later(self, sql: str, row: Row) -> None: ...

    def seq(self) -> int:
        return 1


REF = Reference("mk-abcdef-1")
HOT: dict[str, Callable[[Recorder], Awaitable[Any]]] = {
    "orders.by_refs": lambda unit: orders.by_refs(unit, "main", [REF]),
    "orders.mark_pushed": lambda unit: orders.mark_pushed(unit, "main", [REF], FixedClock().now()),
    "deliveries.queues_of": lambda unit: deliveries.queues_of(unit, "main", "shop", [REF]),
    "deliveries.get_many": lambda unit: deliveries.get_many(unit, [1]),
    "deliveries.live": lambda unit: deliveries.live(unit, "main", Kind.CREATE, "shop", [REF]),
    "links.of_many": lambda unit: links.of_many(unit, "main", "shop", [REF]),
    "listings.mark_dirty": lambda unit: listings.mark_dirty(unit, "main", ["A"]),
    "stock.claims_of_orders": lambda unit: stock.claims_of_orders(unit, "main", [REF]),
    "stock.claims_of_skus": lambda unit: stock.claims_of_skus(unit, "main", "shop", ["A"]),
    "stock.closable": lambda unit: stock.closable(unit, "main", "shop", 10),
    "stock.settle_many": lambda unit: stock.settle_many(unit, [(1, 2, None)]),
}


@pytest.mark.parametrize("name", HOT)
async def test_no_statement_of_an_order_reads_all_rows_of_the_merchant(name: str, tmp_path: Path) -> None:
    store = await open_store(str(tmp_path), FixedClock(), FixedRandom(), CrashAt())
    await store.close()
    unit = Recorder()
    await HOT[name](unit)
    with sqlite3.connect(tmp_path / "marketsync.sqlite3") as raw:
        for sql in unit.sql:
            steps = raw.execute(f"EXPLAIN QUERY PLAN {for_sqlite(sql)}", [None] * sql.count("?")).fetchall()
            wide = [
                step[3] for step in steps if "(merchant=?)" in step[3] or step[3].startswith("SCAN deliver")
            ]
            assert not wide, sql
    raw.close()
