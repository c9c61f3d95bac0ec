from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.engine.bench import Bench, uncollected, unheard
from tests.simulation.life import known_locks

NewBench = Callable[..., Bench]


@pytest.fixture
def new_bench(tmp_path: Path) -> Iterator[NewBench]:
    """On memory where the machine has such a place: fsync is what these tests would wait for."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="marketsync-", dir=memory if memory.is_dir() else tmp_path))
    with known_locks() as locks, uncollected():
        yield lambda **how: Bench(directory, locks, **how)
    shutil.rmtree(directory, ignore_errors=True)
    with unheard():
        gc.collect()


@pytest.fixture
def bench(new_bench: NewBench) -> Bench:
    """One marketplace, one shop, and nobody who acts by himself."""
    return new_bench()
