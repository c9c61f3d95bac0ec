"""What happened, for people: written by the transitions themselves, never private."""

from __future__ import annotations

from marketsync.domain.ids import MerchantId
from marketsync.store.columns import instant, micros
from marketsync.store.rows import HistoryRow
from marketsync.store.unit import Unit

_ADD = "INSERT INTO history (merchant, id, subject, at, event, detail) VALUES (?, ?, ?, ?, ?, ?)"


def add(unit: Unit, row: HistoryRow) -> None:
    """Written with the commit of the group."""
    unit.later(_ADD, (row.merchant, unit.seq(), row.subject, micros(row.at), row.event, row.detail))


async def of(unit: Unit, merchant: str, subject: str, limit: int) -> list[HistoryRow]:
    """The newest `limit` of them, the oldest first."""
    rows = await unit.fetch(
        "SELECT at, event, detail FROM history WHERE merchant = ? AND subject = ? ORDER BY id DESC LIMIT ?",
        merchant, subject, limit,
    )  # fmt: skip
    return [
        HistoryRow(MerchantId(merchant), subject, instant(at), event, detail)
        for at, event, detail in reversed(rows)
    ]
