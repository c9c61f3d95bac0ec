"""Links: our subject and the far side's id. Insert-only, guarded by nothing, never pruned (A8, A24)."""

from __future__ import annotations

from collections.abc import Sequence

from marketsync.domain.ids import ConnectionId, MerchantId
from marketsync.store.rows import Link
from marketsync.store.unit import Row, Unit

_ADD = """INSERT INTO links (merchant, target, subject, kind, remote_id) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (merchant, target, subject, kind, remote_id) DO NOTHING"""


async def add(unit: Unit, link: Link) -> None:
    """Written with the commit of the group: the unit itself does not see it yet."""
    unit.later(_ADD, (link.merchant, link.target, link.subject, link.kind, link.remote_id))


async def of(unit: Unit, merchant: str, target: str, subject: str) -> list[Link]:
    return (await of_many(unit, merchant, target, [subject]))[subject]


async def of_many(unit: Unit, merchant: str, target: str, subjects: Sequence[str]) -> dict[str, list[Link]]:
    """The links of each subject, of all kinds."""
    rows = await unit.fetch(
        """SELECT merchant, target, kind, subject, remote_id FROM links
            WHERE merchant = ? AND target = ? AND subject = ANY(?) ORDER BY subject, kind, remote_id""",
        merchant, target, list(subjects),
    )  # fmt: skip
    links: dict[str, list[Link]] = {subject: [] for subject in subjects}
    for row in rows:
        links[row[3]].append(_link(row))
    return links


async def by_remote(unit: Unit, merchant: str, target: str, remote_id: str) -> list[Link]:
    rows = await unit.fetch(
        """SELECT merchant, target, kind, subject, remote_id FROM links
            WHERE merchant = ? AND target = ? AND remote_id = ? ORDER BY subject, kind""",
        merchant, target, remote_id,
    )  # fmt: skip
    return [_link(row) for row in rows]


def _link(row: Row) -> Link:
    merchant, target, kind, subject, remote_id = row
    return Link(MerchantId(merchant), ConnectionId(target), kind, subject, remote_id)
