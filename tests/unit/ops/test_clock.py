from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from marketsync.ops.clock import ScaledClock, SystemClock, SystemRandom, _boot_id
from marketsync.ports import AlarmClock


class StillClock:
    """Stands until it is moved; a sleep moves it."""

    def __init__(self) -> None:
        self.boot_id = "boot"
        self.at = datetime(2026, 5, 1, tzinfo=UTC)
        self.mono = 100.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.mono

    async def sleep(self, seconds: float) -> None:
        self.mono += seconds
        self.at += timedelta(seconds=seconds)


def test_the_real_clock_is_aware_and_goes_forward() -> None:
    clock = SystemClock()
    first = clock.monotonic()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= first
    assert clock.boot_id == SystemClock().boot_id != ""


def test_without_the_kernels_boot_id_one_is_derived(tmp_path: Path) -> None:
    derived = _boot_id(tmp_path / "missing")
    assert derived.startswith("derived-")
    (tmp_path / "boot_id").write_text("abc\n")
    assert _boot_id(tmp_path / "boot_id") == "abc"


async def test_sixty_seconds_of_a_scaled_clock_take_one_real_one() -> None:
    real = StillClock()
    scaled = ScaledClock(real, 60)
    await scaled.sleep(120)
    assert real.mono == 102.0
    assert scaled.monotonic() == 100.0 + 120.0
    assert scaled.now() == datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=120)


def test_who_shares_the_origin_shares_the_time() -> None:
    real = StillClock()
    mine = ScaledClock(real, 10)
    real.mono += 5
    real.at += timedelta(seconds=5)
    theirs = ScaledClock(real, 10, since=100.0, at=datetime(2026, 5, 1, tzinfo=UTC))
    assert mine.now() == theirs.now()
    assert mine.monotonic() == theirs.monotonic() == 150.0
    assert mine.boot_id == theirs.boot_id != ScaledClock(real, 20).boot_id


@pytest.mark.parametrize("factor", [0, -1])
def test_a_clock_does_not_stand_or_go_back(factor: float) -> None:
    with pytest.raises(ValueError, match="forward"):
        ScaledClock(StillClock(), factor)


def test_randomness_is_in_range_and_alphanumeric() -> None:
    chance = SystemRandom()
    assert all(2.0 <= chance.uniform(2, 3) <= 3.0 for _ in range(50))
    token = chance.token(32)
    assert len(token) == 32
    assert token.isalnum()
    assert token == token.lower()
    assert token != chance.token(32)


@pytest.mark.parametrize("clock", [SystemClock(), ScaledClock(SystemClock(), 100.0)])
async def test_an_alarm_rings_in_the_clocks_own_time_unless_it_is_called_off(clock: AlarmClock) -> None:
    rung = asyncio.Event()
    heard: list[str] = []
    call_off = clock.call_later(0.001, lambda: heard.append("called off"))
    began = clock.monotonic()
    clock.call_later(0.02, rung.set)
    call_off()
    await rung.wait()
    assert clock.monotonic() - began >= 0.02
    assert heard == []


async def test_an_alarm_of_a_scaled_clock_comes_sooner_in_real_time() -> None:
    clock, rung = ScaledClock(SystemClock(), 10_000.0), asyncio.Event()
    clock.call_later(1000.0, rung.set)
    await asyncio.wait_for(rung.wait(), 30)
