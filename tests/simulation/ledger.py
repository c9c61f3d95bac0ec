"""What our own file says, asked beside the daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from marketsync.store.sqlite import FILE_NAME

_kept: dict[Path, sqlite3.Connection] = {}


def rows(directory: Path, sql: str, *args: str) -> list[tuple[Any, ...]]:
    if directory in _kept:
        return _kept[directory].execute(sql, args).fetchall()
    with closing(_opened(directory)) as raw:
        return raw.execute(sql, args).fetchall()


@contextmanager
def kept_open(directory: Path) -> Iterator[None]:
    """One connection for all that is asked meanwhile: most of what a short question costs is the opening."""
    with closing(_opened(directory)) as raw:
        before = _kept.get(directory)
        _kept[directory] = raw
        try:
            yield
        finally:
            del _kept[directory]
            if before is not None:
                _kept[directory] = before


def _opened(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)
