"""The short form of `make kill`: a few points and moments on both engines, and what a real process must do besides."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from marketsync.store.sqlite import FILE_NAME
from tests.acceptance.judge import Limits, broken
from tests.acceptance.postgres import server
from tests.acceptance.rig import OVERSELL_SECONDS, Kill, Verdict, live, stage
from tests.integration.store.conftest import Server

# Faster than the long form: the whole module takes less than a minute.
FACTOR = 60.0
SQLITE = (
    Kill("send.after_create.0"),
    Kill(after_seconds=0.5),
    Kill("store.before_commit", 7),
    Kill(after_seconds=2.0),
    Kill("send.before_confirm.0"),
    Kill(after_seconds=1.2),
    Kill("publish.after_claim"),
    Kill(after_seconds=1.6),
)
POSTGRES = (Kill("send.after_create.1"), Kill("store.after_commit", 9))


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """One life on each engine, both at once; without PostgreSQL here, one."""

    async def lives(postgres: Server | None) -> dict[str, Verdict]:
        at_once = {"sqlite": live(11, SQLITE, rate=0.01, factor=FACTOR)}
        if postgres is not None:
            at_once["postgresql"] = live(12, POSTGRES, postgres.new_database(), rate=0.01, factor=FACTOR)
        return dict(zip(at_once, await asyncio.gather(*at_once.values()), strict=True))

    with server() as running:
        return asyncio.run(lives(running))


def judge(verdict: Verdict, kills: int) -> None:
    assert verdict.failures == ()
    assert verdict.missed == ()
    assert len(verdict.killed) == kills
    assert (verdict.lost, verdict.duplicated, verdict.stuck, verdict.parked) == (0, 0, 0, 0)
    assert verdict.orders > 0
    assert verdict.confirmed > 0
    assert verdict.confirmed + verdict.withdrawn == verdict.parcels


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.failure(51)
@pytest.mark.failure(52)
def test_nothing_is_lost_or_doubled_by_kills_on_sqlite(verdicts: dict[str, Verdict]) -> None:
    judge(verdicts["sqlite"], len(SQLITE))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.failure(51)
def test_nothing_is_lost_or_doubled_by_kills_on_postgresql(verdicts: dict[str, Verdict]) -> None:
    if "postgresql" not in verdicts:
        pytest.skip("not run: no PostgreSQL server here")
    judge(verdicts["postgresql"], len(POSTGRES))


@pytest.mark.failure(59)
async def test_a_second_daemon_on_the_same_state_ends_with_75_and_names_the_first(tmp_path: Path) -> None:
    async with stage(13, tmp_path, rate=0.0, factor=FACTOR) as scene:
        first = await scene.start()
        await scene.listening()
        second = await scene.start()
        assert await asyncio.wait_for(second.wait(), 20) == 75
        assert f"in use by pid {first.pid} " in (scene.directory / "daemon.log").read_text()
        assert first.returncode is None
        assert await scene.stop(first) == 0


@pytest.mark.slow
@pytest.mark.failure(56)
async def test_a_foreign_lock_on_the_file_only_delays(tmp_path: Path) -> None:
    async with stage(14, tmp_path, rate=0.0, factor=FACTOR) as scene:
        child = await scene.start()
        await scene.listening()
        with closing(sqlite3.connect(scene.state / FILE_NAME, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(2.0)
            assert child.returncode is None
            foreign.execute("ROLLBACK")
        await asyncio.sleep(2.0)
        assert await scene.stop(child) == 0
        assert await scene.drain() == []
        assert broken(scene.world, await scene.ledger(), Limits(OVERSELL_SECONDS)) == []
        assert scene.world.audit().created > 0
