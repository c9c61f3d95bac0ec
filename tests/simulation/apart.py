"""What our own file says of one shop or one merchant alone, and whether anything in it belongs to another."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from marketsync.sandbox.world import World
from marketsync.store.sqlite import FILE_NAME

# The tables that the invariants read, and the column that says whose a row is.
JUDGED = {
    "orders": "connection",
    "deliveries": "target",
    "holes": "connection",
    "parked": "connection",
    "claims": "connection",
}
# (table, column) of the others that name a connection.
NAMED = (
    ("orders", "connection"), ("orders", "back_office"), ("deliveries", "target"), ("links", "target"),
    ("claims", "connection"), ("claims", "pool"), ("reports", "pool"), ("articles", "back_office"),
    ("listings", "connection"), ("coverage", "connection"), ("connections", "connection"), ("parked", "connection"),
    ("parties", "connection"), ("raws", "connection"),
)  # fmt: skip
TO_SHOP = ("create", "update", "cancel", "adjust")


@contextmanager
def own_view(directory: Path, merchant: str, names: Collection[str]) -> Iterator[Path]:
    """A directory with a copy of the file, in which only rows of this merchant and these connections are left."""
    folder = Path(tempfile.mkdtemp(prefix="marketsync-view-", dir=directory.parent))
    try:
        with (
            closing(sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(folder / FILE_NAME)) as copy,
        ):
            source.backup(copy)
            for table, column in JUDGED.items():
                places = ", ".join("?" * len(names))
                copy.execute(
                    f"DELETE FROM {table} WHERE merchant <> ? OR {column} NOT IN ({places})",
                    (merchant, *sorted(names)),
                )
            copy.commit()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def crossed(view: Path, routes: Mapping[str, str]) -> Iterator[str]:
    """`routes`: the shop of each marketplace. Orders, their claims and their writes are at that shop alone."""
    with closing(sqlite3.connect(view / FILE_NAME)) as raw:
        for name, order_id, shop in raw.execute("SELECT connection, order_id, back_office FROM orders"):
            if routes.get(name) != shop:
                yield f"crossed: {name}/{order_id} is routed to {shop}"
        for name, pool, ref in raw.execute("SELECT DISTINCT connection, pool, ref FROM claims"):
            if routes.get(name) != pool:
                yield f"crossed: {ref} of {name} claims from {pool}"
        sql = """SELECT o.connection, o.order_id, d.kind, d.target FROM deliveries d
            JOIN orders o ON o.merchant = d.merchant AND o.ref = d.order_ref"""
        for name, order_id, kind, target in raw.execute(sql):
            if target != (routes[name] if kind in TO_SHOP else name):
                yield f"crossed: {kind} of {name}/{order_id} goes to {target}"


def refused_needlessly(world: World) -> Iterator[str]:
    """Of articles that were never short nobody's order is refused. Where goods came in, the figure that an answer was given by
    may be the one before them: then they were short as far as anybody could know."""
    short = {sale.sku for sale in world.books.oversales} | set(world.books.restocked)
    for name, side in world.marketplaces.items():
        for sale in side.sales(world.now):
            if sale.refused and not any(sku in short for sku, _ in sale.lines):
                yield f"refused without need: {name}/{sale.order_id} wanted {sale.lines}"


def away(directory: Path, names: Collection[str]) -> Iterator[str]:
    """Connections that this daemon does not have."""
    with closing(sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)) as raw:
        for table, column in NAMED:
            for (name,) in raw.execute(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1"):
                if name not in names:
                    yield f"crossed: {table}.{column} names {name}"


def foreign(directory: Path, merchant: str) -> list[str]:
    """A digest of each table's rows of this merchant."""
    found = []
    with closing(sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)) as raw:
        tables = [
            row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        ]
        for table in tables:
            columns = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
            if "merchant" not in columns:
                continue
            rows = raw.execute(f"SELECT * FROM {table} WHERE merchant = ?", (merchant,)).fetchall()
            text = "\n".join(sorted(map(repr, rows)))
            found.append(f"{table} {len(rows)} {hashlib.sha256(text.encode()).hexdigest()[:12]}")
    return found


def known_here(directory: Path, merchant: str) -> None:
    """As if this merchant had been in the database before: who is new in that of another is sent away."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as raw:
        raw.execute("INSERT INTO connections VALUES (?, 'shop', 'back_office', '', '', '')", (merchant,))
        raw.commit()
