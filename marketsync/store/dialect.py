"""The few differences between the engines: every statement of the store is written once, in SQLite's SQL with `?`."""

from __future__ import annotations

import re
from functools import lru_cache

_TYPES = {"BLOB": "BYTEA", "INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION"}


@lru_cache(maxsize=1024)
def for_sqlite(sql: str) -> str:
    return sql.replace("= ANY(?)", "IN (SELECT value FROM json_each(?))")


@lru_cache(maxsize=1024)
def for_postgres(sql: str) -> str:
    pieces = re.sub(r"\b(BLOB|INTEGER|REAL)\b", lambda found: _TYPES[found[1]], sql).split("?")
    numbered = (f"{piece}${number}" for number, piece in enumerate(pieces[:-1], start=1))
    return ("".join(numbered) + pieces[-1]).replace(" WITHOUT ROWID", "")


@lru_cache(maxsize=1024)
def counting_for_postgres(sql: str) -> str:
    """asyncpg's `executemany` tells no counts, so each changed row is returned instead."""
    return f"{for_postgres(sql)} RETURNING 1"
