"""Messages to the service manager (sd_notify). Without one, nothing is sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

STATUS_LENGTH_MAX = 200


class Notifier:
    """`watchdog_seconds` is the interval that the service manager expects WATCHDOG=1 in, None if it does not."""

    def __init__(self, address: str | None, watchdog_seconds: float | None = None) -> None:
        self._address = None if address is None else _unix_address(address)
        self.watchdog_seconds = watchdog_seconds

    def ready(self, status: str) -> None:
        """Only once the store is migrated and the lock is held."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}\nMAINPID={os.getpid()}")

    def status(self, text: str) -> None:
        self._send(f"STATUS={_one_line(text)}")

    def alive(self) -> None:
        """Only on real progress: see `pulse`."""
        self._send("WATCHDOG=1")

    def stopping(self, extend_seconds: float) -> None:
        self._send(f"STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={int(extend_seconds * 1_000_000)}")

    def _send(self, message: str) -> None:
        """A service manager that does not listen is no reason to stop or to wait."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(message.encode(), self._address)
            except OSError:
                return


def from_environment(environment: Mapping[str, str], pid: int) -> Notifier:
    """What systemd told this process. A WATCHDOG_PID of another process is not ours."""
    address = environment.get("NOTIFY_SOCKET") or None
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return Notifier(address)
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        return Notifier(address)
    return Notifier(address, int(microseconds) / 1_000_000)


def _unix_address(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address


def _one_line(text: str) -> str:
    return " ".join(text.split())[:STATUS_LENGTH_MAX]
