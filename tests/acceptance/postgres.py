"""A PostgreSQL of our own for whoever is no pytest fixture."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.integration.store import conftest


@contextlib.contextmanager
def server() -> Iterator[conftest.Server | None]:
    """None where this machine has no PostgreSQL."""
    binaries = conftest._binaries()
    if binaries is None:
        yield None
        return
    directory = Path(tempfile.mkdtemp(prefix="market-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(directory, conftest._user(), conftest._user())
        running = conftest.Server(binaries, directory)
        running.start()
        try:
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
