"""The power goes at any call to the disk: what the store acknowledged is there, whole, and nothing is by halves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.powercut import cuts, faults
from tests.powercut.cuts import Cut, Outcome
from tests.powercut.disk import SECTOR, Disk, Forget, Sync, Truncate, Write
from tests.powercut.lives import FULL, Setting, record, setting
from tests.powercut.vfs import NotRun, Vfs


@pytest.fixture(scope="module")
def vfs() -> Vfs:
    try:
        return Vfs()
    except NotRun as reason:
        pytest.skip(f"not run: {reason}")


@pytest.fixture
def place() -> Iterator[Path]:
    with cuts.workplace() as made:
        yield made


@pytest.fixture(scope="module")
def weaker(vfs: Vfs) -> list[Outcome]:
    with cuts.workplace() as made:
        return _cuts(vfs, made, 1, 80, "NORMAL")


def _cuts(vfs: Vfs, place: Path, life: int, number: int, synchronous: str = FULL) -> list[Outcome]:
    async def made() -> list[Outcome]:
        return [outcome async for outcome in cuts.run(vfs, place, life, number, synchronous)]

    return asyncio.run(made())


@pytest.mark.failure(53)
def test_a_power_cut_loses_nothing_that_was_acknowledged(vfs: Vfs, place: Path) -> None:
    outcomes = _cuts(vfs, place, 1, 110)
    assert [(str(x.cut), x.found.text) for x in outcomes if x.found.kind] == []
    assert set(Counter(x.phase for x in outcomes)) == {
        "the first opening",
        "a commit",
        "a checkpoint",
        "a second opening",
    }


@pytest.mark.failure(53)
def test_with_a_weaker_sync_the_same_cuts_lose_acknowledged_commits(weaker: list[Outcome]) -> None:
    assert sum(x.found.lost for x in weaker) > 5
    assert not any(x.found.kind in {"corrupt", "torn"} for x in weaker)


@pytest.mark.failure(53)
def test_without_any_sync_the_same_cuts_damage_the_database(vfs: Vfs, place: Path) -> None:
    assert any(x.found.kind == "corrupt" for x in _cuts(vfs, place, 500, 60, "OFF"))


@pytest.mark.failure(53)
@pytest.mark.failure(55)
def test_after_a_failed_sync_and_a_kill_nothing_is_built_on_what_was_never_written(
    vfs: Vfs, place: Path
) -> None:
    """The next life reads the log as if it were on disk; a power cut shows that it was not."""
    chosen = Setting(failing_sync=13)

    async def made() -> list[Outcome]:
        trace = await record(vfs, place / "life", 1, chosen)
        failed = next(n for n, op in enumerate(trace.ops) if isinstance(op, Forget))
        assert trace.promised(failed) < trace.promised(len(trace.ops)) - 2
        positions = range(failed, len(trace.ops) + 1, 9)
        return [outcome async for outcome in cuts.of_life(vfs, place, trace, 1, positions)]

    outcomes = asyncio.run(made())
    assert len(outcomes) > 20
    assert [(str(x.cut), x.found.text) for x in outcomes if x.found.kind] == []


def test_the_same_life_writes_the_same_bytes_and_a_cut_is_made_again(
    vfs: Vfs, place: Path, weaker: list[Outcome]
) -> None:
    async def twice() -> list[str]:
        return [(await record(vfs, place / "life", 7, setting(7))).digest() for _ in range(2)]

    one, other = asyncio.run(twice())
    assert one == other
    lost = next(x for x in weaker if x.found.kind == "lost")
    (same,) = asyncio.run(cuts.again(vfs, place, lost.cut, "NORMAL"))
    assert same[1][:3] == lost.found[:3]
    assert cuts.parsed(str(lost.cut)) == lost.cut
    assert cuts.parsed("7.12.3") == Cut(7, 12, 3)


def test_a_disk_keeps_what_was_synced_and_any_sectors_of_the_rest() -> None:
    seen: set[bytes] = set()
    for seed in range(60):
        disk = Disk({"file": b"a" * SECTOR * 2})
        disk.take(Write(0, 0, b"b" * SECTOR))
        disk.take(Sync(0))
        disk.take(Write(0, 0, b"c" * SECTOR * 2))
        disk.take(Write(0, 0, b"d" * SECTOR * 2))
        content = disk.cut(Random(str(seed)))["file"]
        assert {len(set(content[:SECTOR])), len(set(content[SECTOR:]))} == {1}, "a sector is whole"
        seen.add(content[:1] + content[SECTOR : SECTOR + 1])
    assert seen == {a + b for a in (b"b", b"c", b"d") for b in (b"a", b"c", b"d")}


def test_a_file_may_be_long_before_it_is_full_and_short_before_it_is_synced() -> None:
    lengths = set()
    for seed in range(40):
        disk = Disk({"file": b"a" * SECTOR})
        disk.take(Truncate(0, 0))
        disk.take(Write(0, SECTOR, b"b" * SECTOR))
        lengths.add(len(disk.cut(Random(str(seed)))["file"]))
    assert lengths == {0, SECTOR, 2 * SECTOR}


@pytest.mark.failure(54)
@pytest.mark.parametrize("times", [1, faults.FOR_GOOD], ids=["once", "from there on"])
def test_a_disk_that_is_full_at_any_call_is_said_and_got_over(vfs: Vfs, place: Path, times: int) -> None:
    endings = _endings(vfs, place, "ENOSPC", times, step=37)
    assert {"full", "full at its opening"} <= {ending.ended for ending in endings}


@pytest.mark.failure(54)
def test_an_index_of_the_log_that_can_not_grow_is_a_full_disk(vfs: Vfs, place: Path) -> None:
    """SQLite calls it an I/O error; it would end the daemon with the wrong advice."""
    endings = _endings(vfs, place, faults.NO_INDEX, faults.FOR_GOOD, step=1)
    assert {ending.ended for ending in endings} == {"full at its opening"}


@pytest.mark.failure(55)
@pytest.mark.parametrize("times", [1, faults.FOR_GOOD], ids=["once", "from there on"])
def test_a_disk_that_fails_at_any_call_ends_the_store_and_loses_nothing(
    vfs: Vfs, place: Path, times: int
) -> None:
    endings = _endings(vfs, place, "EIO", times, step=53)
    assert {"broken", "broken at its opening"} <= {ending.ended for ending in endings}


def _endings(vfs: Vfs, place: Path, kind: str, times: int, step: int) -> list[faults.Ending]:
    async def made() -> list[faults.Ending]:
        return [ending async for ending in faults.every(vfs, place / "faults", kind, times, step)]

    endings = asyncio.run(made())
    assert [ending for ending in endings if ending.problem] == []
    return endings
