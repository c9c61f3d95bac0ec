"""What SQLite's planner must know of these tables before it has seen a row of them.

Without figures it takes the first column of a primary key, the merchant, for a good filter, and reads the whole
table for each order. ANALYZE would learn the same, but only later, and from whatever the tables hold then.
"""

from __future__ import annotations

import sqlite3

ROWS = 1_000_000
UNFINISHED_ROWS = 10_000
# How many different values a column has among the rows that agree in the columns before it; an id has many.
_DISTINCT = {
    "merchant": 1, "connection": 4, "target": 4, "back_office": 2, "pool": 2, "kind": 6, "state": 6, "lane": 5,
    "location": 1, "axis": 2, "sku": 1_000, "settled_seq": 100, "credential": 4,
}  # fmt: skip
_MANY = 100_000


def state_statistics(raw: sqlite3.Connection) -> None:
    """Writes them where they are not as they should be, and lets this connection read them anew."""
    wanted = _wanted(raw)
    raw.execute("ANALYZE sqlite_schema")
    if set(raw.execute("SELECT tbl, idx, stat FROM sqlite_stat1")) == set(wanted):
        return
    raw.execute("BEGIN IMMEDIATE")
    raw.execute("DELETE FROM sqlite_stat1")
    raw.executemany("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", wanted)
    raw.execute("COMMIT")
    raw.execute("ANALYZE sqlite_schema")


def _wanted(raw: sqlite3.Connection) -> list[tuple[str, str, str]]:
    tables = raw.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    )
    rows = []
    for (table,) in tables.fetchall():
        indexes = raw.execute(
            'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', (table,)
        ).fetchall()
        for index, unique, origin, partial in indexes:
            columns = [name for (name,) in raw.execute("SELECT name FROM pragma_index_info(?)", (index,))]
            named = table if origin == "pk" and _is_clustered(raw, table) else index
            rows.append((table, named, _stat(columns, unique=bool(unique), partial=bool(partial))))
    return rows


def _is_clustered(raw: sqlite3.Connection, table: str) -> bool:
    """SQLite names the key of a WITHOUT ROWID table like the table."""
    found: tuple[str] = raw.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    return found[0].rstrip().upper().endswith("WITHOUT ROWID")


def _stat(columns: list[str], *, unique: bool, partial: bool) -> str:
    """The rows of the index, then the rows that agree in its first column, its first two, and so on."""
    left = total = UNFINISHED_ROWS if partial else ROWS
    figures = []
    for column in columns:
        left = max(1, left // _DISTINCT.get(column, _MANY))
        figures.append(left)
    if unique:
        figures[-1] = 1
    return " ".join(str(figure) for figure in (total, *figures))
