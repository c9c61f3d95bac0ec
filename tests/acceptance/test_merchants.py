"""Two merchants on one machine: real processes with a state directory each, and the same names for everything."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.judge import Limits, broken
from tests.acceptance.rig import OVERSELL_SECONDS, Kill, Scene, stage

FACTOR = 40.0
KILLS = (Kill("send.after_create.0"), Kill(after_seconds=1.5))


def _metric(scene: Scene, name: str) -> float:
    """As the last life of the daemon shows it."""
    started = [json.loads(x) for x in scene.log() if '"daemon.was_started"' in x]
    port = started[-1]["address"].removeprefix("port ")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, name
    return float(found[1])


async def _shown(scene: Scene, value: float) -> bool:
    """The metrics page is brought up to date now and then."""
    name = 'marketsync_connection_paused{connection="alpha"}'
    for _ in range(120):
        if await asyncio.to_thread(_metric, scene, name) == value:
            return True
        await asyncio.sleep(0.5)
    return False


async def _state(scene: Scene) -> str:
    status = await scene.listening()
    return next(str(x["state"]) for x in status["ok"]["connections"] if x["connection"] == "alpha")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.failure(16)
async def test_nothing_of_one_merchant_gets_to_the_other(tmp_path: Path) -> None:
    """One is killed and paused; the other one works on beside it."""
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    async with (
        stage(31, tmp_path / "north", rate=0.01, factor=FACTOR, merchant="north") as north,
        stage(32, tmp_path / "south", rate=0.01, factor=FACTOR, merchant="south") as south,
    ):
        beside = await south.start()
        assert (await south.listening())["ok"]["merchant"] == "south"
        for kill in KILLS:
            assert await north.kill(kill), kill.label
        first = await north.start()
        assert (await north.listening())["ok"]["merchant"] == "north"
        await north.ask("pause", connection="alpha", reason="stock-taking")
        assert await _shown(north, 1.0)
        assert await _shown(south, 0.0)
        assert (await _state(north), await _state(south)) == ("paused", "up")
        await north.ask("resume", connection="alpha")
        assert beside.returncode is None
        assert (await north.stop(first), await south.stop(beside)) == (0, 0)
        ends = await asyncio.gather(north.drain(), south.drain())
        assert ends == [[], []]
        for scene in (north, south):
            assert broken(scene.world, await scene.ledger(), Limits(OVERSELL_SECONDS)) == []
        placed = [set(scene.world.books.placed) for scene in (north, south)]
        assert placed[0] & placed[1], "no order number was used by both"


@pytest.mark.failure(59)
async def test_who_takes_the_others_state_directory_is_sent_away(tmp_path: Path) -> None:
    """While it runs, by its lock; afterwards, by whose the database is."""
    async with stage(33, tmp_path, rate=0.0, factor=FACTOR, merchant="north") as scene:
        first = await scene.start()
        await scene.listening()
        text = scene.config.read_text()
        scene.config.write_text(text.replace('merchant = "north"', 'merchant = "south"'))
        beside = await scene.start()
        assert await asyncio.wait_for(beside.wait(), 60) == 75
        assert await scene.stop(first) == 0
        after = await scene.start()
        assert await asyncio.wait_for(after.wait(), 60) == 78
        assert "is of merchant 'north', not of 'south'" in "\n".join(scene.log())
