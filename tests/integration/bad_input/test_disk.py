"""The disk under the daemon: full, read-only, damaged. What is written is whole or not there, and a person reads what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from marketsync.errors import StoreError
from tests.integration.bad_input.rig import Rig, disk_error

FULL_SECONDS = 200.0
WRITES = ("INSERT", "UPDATE", "DELETE", "COMMIT")


class FullFrom:
    """From the n-th writing statement on the disk is full, until it is cleared. SQLite may have rolled back by itself."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.over = False
        self.refused = 0

    def __call__(self, sql: str) -> None:
        if self.over or sql.split(None, 1)[0].upper() not in WRITES:
            return
        self.left -= 1
        if self.left <= 0:
            self.refused += 1
            raise disk_error(sqlite3.SQLITE_FULL, "database or disk is full")


@pytest.mark.failure(54)
@pytest.mark.parametrize("number", [*range(1, 25), *range(25, 120, 5)])
def test_a_full_disk_at_any_statement_stops_before_effects_and_is_got_over(
    tmp_path: Path, number: int
) -> None:
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        await rig.until(lambda: rig.ear.said("stock.was_swept"))
        full = FullFrom(number)
        rig.disk.refuse = full
        order_id = rig.buy(("SKU-1", 1), ("SKU-2", 1))
        await rig.until(lambda: full.refused > 0)
        await rig.sleep(70)
        before = len([x for x in rig.requests if x.write])
        await rig.sleep(FULL_SECONDS)
        assert len([x for x in rig.requests if x.write]) == before
        assert any("is full: free some space" in line for line in rig.ear.said("loop.failed"))
        assert rig.ear.counts["marketsync_loop_failures_total"] >= 1
        assert len(rig.ear.lines) < 400, "it says so again and again"
        full.over = True
        await rig.until(lambda: rig.pushed(order_id) == 1)
        await rig.until(lambda: not rig.world.unfinished())

    rig.live(script)
    assert rig.ended is None
    assert rig.parked() == {}
    assert rig.world.audit().problems == ()


@pytest.mark.failure(54)
def test_a_disk_that_is_really_full_is_said_once_and_got_over(tmp_path: Path) -> None:
    """By SQLite's own hand, for an hour: nothing is lost, and everything goes on when there is space again."""
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        await rig.until(lambda: rig.ear.said("stock.was_swept"))
        rig.disk.fill()
        bought = []
        for _ in range(4):
            bought.append(rig.buy(("SKU-1", 1), ("SKU-2", 1)))
            await rig.sleep(900)
        full = [line for line in rig.ear.said("loop.failed") if "is full" in line]
        assert full
        assert len(full) <= len(rig.assembly.daemon._loops)
        rig.disk.clear()
        await rig.until(lambda: all(rig.pushed(order_id) == 1 for order_id in bought))
        await rig.until(lambda: not rig.world.unfinished())
        assert rig.ear.said("loop.recovered")

    rig.live(script)
    assert rig.ended is None
    assert rig.parked() == {}


@pytest.mark.failure(54)
@pytest.mark.failure(38)
def test_a_refused_credential_on_a_full_disk_stops_its_connection_alone(tmp_path: Path) -> None:
    """The pause can't be written down: it holds in this life all the same, and the daemon lives."""
    rig = Rig(tmp_path)

    async def script(rig: Rig) -> None:
        await rig.until(lambda: rig.ear.said("stock.was_swept"))
        full = FullFrom(1)
        rig.disk.refuse = full
        rig.market.set_behaviour(api_key="another")
        await rig.until(lambda: rig.ear.said("connection.was_paused"))
        await rig.sleep(300)
        full.over = True
        assert not rig.daemon.done()
        rig.market.set_behaviour(api_key="sandbox-key")
        await rig.command("resume", connection="alpha")
        order_id = rig.buy(("SKU-1", 1))
        await rig.until(lambda: rig.pushed(order_id) == 1)

    rig.live(script)
    assert rig.ended is None


def leaves_of(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]
    return [] if error is None else [error]


@pytest.mark.failure(55)
@pytest.mark.failure(57)
@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database", "check the owner of the files"),
        (sqlite3.SQLITE_IOERR, "disk I/O error", "check the disk and the system log"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed", "restore the newest verified backup"),
    ],
    ids=["read-only", "I/O error", "damaged"],
)
@pytest.mark.parametrize("number", [1, 4, 9, 20])
def test_a_broken_database_ends_the_daemon_with_what_to_do(
    tmp_path: Path, code: int, text: str, advice: str, number: int
) -> None:
    """Nothing is written after it; the next life on a sound disk loses nothing and does nothing twice."""
    rig = Rig(tmp_path)

    async def broken(rig: Rig) -> None:
        await rig.until(lambda: rig.ear.said("stock.was_swept"))
        left = number

        def refuse(sql: str) -> None:
            nonlocal left
            left -= sql.split(None, 1)[0].upper() in WRITES
            if left <= 0 and sql.split(None, 1)[0].upper() in WRITES:
                raise disk_error(code, text)

        rig.disk.refuse = refuse
        rig.buy(("SKU-1", 1), ("SKU-2", 1))
        for _ in range(600):
            if rig.daemon.done():
                return
            await rig.sleep(1)
        pytest.fail("the daemon went on")

    async def sound(rig: Rig) -> None:
        (order_id,) = rig.market.world.orders
        await rig.until(lambda: rig.pushed(order_id) == 1)
        await rig.until(lambda: not rig.world.unfinished())

    rig.live(broken)
    told = leaves_of(rig.ended)
    assert told
    assert all(isinstance(error, StoreError) and advice in str(error) for error in told)
    rig.live(sound)
    assert rig.ended is None
    assert rig.world.audit().problems == ()
