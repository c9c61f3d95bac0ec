"""Where log lines go: never waited for. What nobody reads is kept up to a limit, then dropped and counted."""

from __future__ import annotations

import os
import select
import socket
import stat
from collections import deque

LINES_MAX = 10_000
CLOSE_SECONDS = 2.0


class LineSink:
    """Writes whole lines to a file descriptor without blocking (failure 72).

    The descriptor's own flags are left alone, for it is shared with other processes: a socket is written with
    MSG_DONTWAIT, anything else through a description of its own.
    """

    def __init__(self, fd: int, lines_max: int = LINES_MAX) -> None:
        self._waiting: deque[bytes] = deque()
        self._lines_max = lines_max
        self._socket: socket.socket | None = None
        self._fd = fd
        self._owned = False
        self.dropped = 0
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
        elif not stat.S_ISREG(mode):
            self._reopen(fd)

    def write(self, line: bytes) -> None:
        """One line, with its newline."""
        if len(self._waiting) >= self._lines_max:
            self.drain()
        if len(self._waiting) >= self._lines_max:
            self.dropped += 1
            return
        self._waiting.append(line)
        self.drain()

    def drain(self) -> bool:
        """Write what goes at once. True if nothing waits any more."""
        while self._waiting:
            line = self._waiting[0]
            try:
                written = self._send(line)
            except BlockingIOError:
                return False
            except OSError:
                self.dropped += len(self._waiting)
                self._waiting.clear()
                return True
            if written < len(line):
                self._waiting[0] = line[written:]
                return False
            self._waiting.popleft()
        return True

    def close(self) -> None:
        """Waits a moment for the reader: the last lines say why the process ends."""
        target = self._socket.fileno() if self._socket else self._fd
        while not self.drain():
            _, writable, _ = select.select([], [target], [], CLOSE_SECONDS)
            if not writable:
                break
        if self._socket is not None:
            self._socket.close()
        elif self._owned:
            os.close(self._fd)

    def _send(self, line: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(line, socket.MSG_DONTWAIT)
        return os.write(self._fd, line)

    def _reopen(self, fd: int) -> None:
        try:
            self._fd = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return
        self._owned = True
