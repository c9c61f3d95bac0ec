"""Work of the kind that the daemon does, through the store's own functions, decided by a seed."""

from __future__ import annotations

import hashlib
import marshal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

from marketsync.domain.coverage import Axis, Window
from marketsync.domain.deliveries import State
from marketsync.store import Unit, claims, coverage, deliveries, history, links, orders, private
from marketsync.store.rows import HistoryRow, Link
from tests.integration.store import examples

TABLES = (
    "orders", "parties", "raws", "deliveries", "payloads", "links", "history", "coverage", "claims", "tokens",
    "sequence",
)  # fmt: skip
LARGE = 30_000

Piece = Callable[[Unit], Awaitable[None]]


class Planned(Exception):
    """The unit is to be rolled back alone."""


class Work:
    """Hands out batches of units that commit together; numbers the orders on."""

    def __init__(self, seed: str, orders_before: int = 0) -> None:
        self._random = Random(seed)
        self._orders = orders_before
        self._queued: list[int] = []
        self._sent: list[int] = []

    def batch(self) -> list[Piece]:
        pieces = [self._page()]
        if self._queued and self._random.random() < 0.6:
            pieces.append(self._claim())
        if self._sent and self._random.random() < 0.6:
            pieces.append(self._settle())
        if self._random.random() < 0.15:
            pieces.insert(self._random.randrange(len(pieces) + 1), _refused)
        if self._random.random() < 0.1:
            pieces.append(self._raw())
        return pieces

    def _page(self) -> Piece:
        count = self._random.choice((1, 1, 2, 5, 20))
        numbers = range(self._orders + 1, self._orders + count + 1)
        self._orders += count
        self._queued += numbers

        async def page(unit: Unit) -> None:
            seq = unit.seq()
            await orders.put(unit, [examples.held(n, read_begin_seq=seq) for n in numbers])
            await private.put_parties(unit, [(examples.order(n).key, examples.private(n)) for n in numbers])
            await claims.put_claims(unit, examples.SHOP, [examples.claim(n) for n in numbers])
            await deliveries.insert(unit, [examples.delivery(n) for n in numbers])
            hi = examples.NOW + timedelta(minutes=2 * numbers[-1])
            window = Window(Axis.CREATED, examples.NOW + timedelta(minutes=2 * numbers[0]), hi)
            await coverage.add(unit, examples.MERCHANT, examples.MARKET, window, hi)
            for n in numbers:
                history.add(
                    unit, HistoryRow(examples.MERCHANT, examples.ref(n), examples.NOW, "order.was_taken", "")
                )

        return page

    def _claim(self) -> Piece:
        taken, self._queued = self._queued[:4], self._queued[4:]
        self._sent += taken

        async def claim(unit: Unit) -> None:
            rows = await deliveries.get_many(unit, taken)
            assert all(row.state is State.QUEUED for row in rows.values())
            moves = [(row, examples.sent(row), "delivery.was_sent") for row in rows.values()]
            await deliveries.move_many(unit, moves, examples.NOW)

        return claim

    def _settle(self) -> Piece:
        taken, self._sent = self._sent[:3], self._sent[3:]

        async def settle(unit: Unit) -> None:
            rows = await deliveries.get_many(unit, taken)
            # What was claimed in this very batch is seen by what comes after it.
            moves = [(row, examples.done(row), "delivery.was_done") for row in rows.values()]
            await deliveries.move_many(unit, moves, examples.NOW)
            for n in taken:
                await links.add(
                    unit, Link(examples.MERCHANT, examples.SHOP, "create", examples.ref(n), f"shop-{n}")
                )
            refs = [examples.ref(n) for n in taken]
            await orders.mark_pushed(unit, examples.MERCHANT, refs, examples.NOW)

        return settle

    def _raw(self) -> Piece:
        name, body = f"raw-{self._random.randrange(5)}", self._random.randbytes(LARGE)

        async def raw(unit: Unit) -> None:
            await private.put_raws(unit, examples.MERCHANT, examples.MARKET, [(name, body)])

        return raw


async def _refused(unit: Unit) -> None:
    await private.put_raws(unit, examples.MERCHANT, examples.MARKET, [("never", b"never")])
    history.add(unit, HistoryRow(examples.MERCHANT, "never", examples.NOW, "never", ""))
    raise Planned


async def contents(unit: Unit) -> str:
    """A digest of all that the units wrote."""
    seen = hashlib.blake2b(digest_size=12)
    for table in TABLES:
        # Version 2 knows no references: equal rows give equal bytes.
        seen.update(marshal.dumps((table, await unit.fetch(f"SELECT * FROM {table}")), 2))
    return seen.hexdigest()
