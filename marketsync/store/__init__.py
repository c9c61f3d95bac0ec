"""The one door to the database: SQLite by default, PostgreSQL where a server keeps the data; one SQL, the same rules."""

from __future__ import annotations

from marketsync.store import (
    claims,
    connections,
    coverage,
    deliveries,
    history,
    links,
    listings,
    maps,
    orders,
    parked,
    private,
    shipments,
    stock,
    tokens,
    upkeep,
)
from marketsync.store.store import Store, open_store
from marketsync.store.unit import Broken, Unit, Violated

__all__ = [
    "Broken",
    "Store",
    "Unit",
    "Violated",
    "claims",
    "connections",
    "coverage",
    "deliveries",
    "history",
    "links",
    "listings",
    "maps",
    "open_store",
    "orders",
    "parked",
    "private",
    "shipments",
    "stock",
    "tokens",
    "upkeep",
]
