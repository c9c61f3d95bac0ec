"""Rows of the catalogue of failures that are the store's alone."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.crash import NoCrash
from marketsync.store import Store, Unit, open_store, tokens, upkeep
from marketsync.store.sqlite import FILE_NAME

LOG_BYTES_MAX = 64 * 1024 * 1024


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(str(tmp_path), SystemClock(), SystemRandom(), NoCrash())
    yield opened
    await opened.close()


async def _write(store: Store, number: int, size: int) -> None:
    async def unit(work: Unit) -> None:
        await tokens.save(work, f"token {number % 7}", f"{number:02}" * (size // 2))

    await store.write(unit)


@pytest.mark.failure(58)
async def test_a_reader_that_is_stuck_shows_in_the_size_of_the_log_and_it_shrinks_after_it(
    store: Store, tmp_path: Path
) -> None:
    """A foreign shell with an open transaction keeps the log from being used again; what is read meanwhile is right."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as stuck:
        stuck.execute("BEGIN")
        assert stuck.execute("SELECT COUNT(*) FROM tokens").fetchone() == (0,)
        for number in range(40):
            await _write(store, number, 200_000)
        grown = (await upkeep.sizes(store))["wal_bytes"]
        assert grown > 30 * 200_000
        assert stuck.execute("SELECT COUNT(*) FROM tokens").fetchone() == (0,)
        stuck.execute("COMMIT")
    for number in range(40):
        await _write(store, number, 200_000)
    after = (await upkeep.sizes(store))["wal_bytes"]
    assert after <= max(grown, LOG_BYTES_MAX)
    assert after < 2 * grown
    assert await store.read(lambda unit: unit.fetch("SELECT COUNT(*) FROM tokens")) == [(7,)]


@pytest.mark.failure(57)
async def test_flipped_bytes_deep_in_the_file_are_found_by_the_check(tmp_path: Path) -> None:
    store = await open_store(str(tmp_path), SystemClock(), SystemRandom(), NoCrash())
    for number in range(40):
        await _write(store, number, 20_000)
    assert await upkeep.quick_check(store) == ""
    await store.close()
    path = tmp_path / FILE_NAME
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 12] = bytes(byte ^ 0xFF for byte in whole[middle : middle + 12])
    path.write_bytes(whole)
    store = await open_store(str(tmp_path), SystemClock(), SystemRandom(), NoCrash())
    try:
        assert await upkeep.quick_check(store)
    finally:
        await store.close()
