"""`backup`: a verified copy of the store in a new file, beside the running daemon."""

from __future__ import annotations

from pathlib import Path

import msgspec

from marketsync.commands.desk import Desk, UsageError


class BackupArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path` is absolute: the daemon has a working directory of its own."""

    path: str


class Backup(msgspec.Struct, frozen=True):
    path: str
    size_bytes: int


async def backup(desk: Desk, args: BackupArgs) -> Backup:
    path = Path(args.path)
    _check(path)
    await desk.core.store.backup(path)
    return Backup(str(path), _size(path))


def _check(path: Path) -> None:
    if not path.is_absolute():
        raise UsageError("the path of a backup is absolute")
    if path.exists():
        raise UsageError(f"{path} exists: a backup never overwrites")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no directory")


def _size(path: Path) -> int:
    return path.stat().st_size
