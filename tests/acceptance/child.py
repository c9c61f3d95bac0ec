"""`marketsync run` in a process of its own, on a clock that it shares with the simulated far sides.

Called with the configuration, and the factor, origin (monotonic) and date of that clock. Nothing else differs.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from marketsync import bootstrap
from marketsync.cli import serving
from marketsync.cli.exits import Exit
from marketsync.config import load
from marketsync.errors import ConfigError, StoreLocked
from marketsync.ops.clock import ScaledClock, SystemClock, SystemRandom
from marketsync.ops.notify import from_environment
from marketsync.ops.observe import to_stderr
from tests.simulation.scenario import ADAPTERS

PR_SET_PDEATHSIG = 1


async def serve(path: Path, clock: ScaledClock) -> Exit:
    config = load(path)
    observations = to_stderr(clock, log_format="json", log_level=config.daemon.log_level)
    try:
        assembly = await bootstrap.build(
            config, clock=clock, random=SystemRandom(), observer=observations, adapters=ADAPTERS
        )
        try:
            return await serving._run(
                config, assembly, observations, from_environment(os.environ, os.getpid())
            )
        finally:
            await assembly.close()
    finally:
        observations.close()


def main(arguments: list[str]) -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    path, factor, since, at = arguments
    clock = ScaledClock(SystemClock(), float(factor), since=float(since), at=datetime.fromisoformat(at))
    try:
        return asyncio.run(serve(Path(path), clock))
    except StoreLocked as error:
        print(f"marketsync: {error}", file=sys.stderr)
        return Exit.LOCKED
    except ConfigError as error:
        print(f"marketsync: {error}", file=sys.stderr)
        return Exit.CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
