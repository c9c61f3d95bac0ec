"""One database is one merchant's: a name that was changed, or a state_dir that was copied, is refused before it does harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketsync.bootstrap import build
from marketsync.cli.offline import run_offline
from marketsync.config import Config, parse
from marketsync.errors import ConfigError
from marketsync.ops.clock import SystemClock, SystemRandom
from marketsync.ops.observe import Silence
from tests.simulation.scenario import ADAPTERS


def _config(folder: Path, merchant: str) -> Config:
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text("letters")
    settings = {"url": "https://shop.invalid", "token": f"file:{secret}"}
    return parse(
        {
            "daemon": {"state_dir": folder / "state", "merchant": merchant},
            "connections": {"shop": {"adapter": "rest-shop", "settings": settings}},
        }
    )


async def _start(config: Config) -> None:
    config.daemon.state_dir.mkdir(mode=0o700, exist_ok=True)
    assembly = await build(
        config, clock=SystemClock(), random=SystemRandom(), observer=Silence(), adapters=ADAPTERS
    )
    await assembly.close()


async def test_a_database_of_another_merchant_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    await _start(_config(tmp_path, "north"))
    with pytest.raises(
        ConfigError, match="is of merchant 'north', not of 'south': the name of a merchant never"
    ):
        await _start(_config(tmp_path, "south"))
    await _start(_config(tmp_path, "north"))


@pytest.mark.parametrize("command", ["status", "pause"])
async def test_a_command_beside_it_is_refused_too(tmp_path: Path, command: str) -> None:
    """An empty `status` would look like an installation that has lost everything."""
    await _start(_config(tmp_path, "north"))
    args = {"connection": "shop", "reason": "x"} if command == "pause" else {}
    with pytest.raises(ConfigError, match=f"the database in {tmp_path}/state is of merchant 'north'"):
        await run_offline(_config(tmp_path, "south"), command, args)
    await run_offline(_config(tmp_path, "north"), command, args)
