"""What this database can't know: the stretch between the moment of which it is a copy, and the moment it took over."""

from __future__ import annotations

from datetime import datetime

import msgspec

from marketsync.domain.gap import Gap, widened
from marketsync.store.columns import instant, micros
from marketsync.store.unit import Session

_gap = msgspec.json.Decoder(Gap)


async def load(session: Session) -> Gap | None:
    rows = await session.fetch("SELECT value FROM meta WHERE key = 'gap'")
    return _gap.decode(rows[0][0]) if rows else None


async def widen(session: Session, found: Gap) -> Gap:
    """Kept for good. What the marketplaces list is not known any more either (C16)."""
    gap = widened(await load(session), found)
    await session.execute(
        "INSERT INTO meta (key, value) VALUES ('gap', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        msgspec.json.encode(gap).decode(),
    )
    await session.execute(
        "UPDATE listings SET presumed = NULL, dirty = 1, done_at = ? WHERE value IS NOT NULL OR presumed IS NOT NULL",
        micros(gap.until),
    )
    return gap


async def newest_commit(session: Session) -> datetime:
    """The last moment of which the database knows anything."""
    rows = await session.fetch(
        """SELECT (SELECT COALESCE(MAX(at), 0) FROM history), (SELECT COALESCE(MAX(read_at), 0) FROM orders),
            (SELECT COALESCE(MAX(imported_at), 0) FROM orders)"""
    )
    return instant(max(rows[0]))
