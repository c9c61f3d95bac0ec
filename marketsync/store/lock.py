"""One daemon for each state directory: an exclusive flock with the holder's pid and host inside (failure 59)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from marketsync.errors import StoreError, StoreLocked
from marketsync.store.mark import Mark

_REMOTE_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs"})


class DirectoryLock:
    """Held until `release`, or until the process ends. StoreLocked names the pid and host of the holder."""

    def __init__(self, directory: Path) -> None:
        refuse_remote(directory, _mounts())
        self._fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 300, 0).decode(errors="replace").strip() or "another process"
            os.close(self._fd)
            raise StoreLocked(
                f"{directory} is in use by {holder}: stop it first; if it only just starts or ends, try again"
            ) from None
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            self.mark = Mark(directory)
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self.mark.close()


def refuse_remote(directory: Path, mounts: str) -> None:
    """SQLite's locks and its shared memory do not hold over a network. `mounts` is the text of /proc/mounts."""
    best, kind = "", ""
    here = directory.resolve()
    for line in mounts.splitlines():
        _, point, found, *_ = *line.split(), "", "", ""
        point = point.replace("\\040", " ")
        if point and len(point) >= len(best) and here.is_relative_to(point):
            best, kind = point, found
    if kind in _REMOTE_FILE_SYSTEMS:
        raise StoreError(
            f"{directory} is on a network file system ({kind}): move it to a local disk, or use PostgreSQL"
        )


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(errors="replace")
    except OSError:
        return ""
