"""The sockets that the daemon listens on: loopback unless a person says otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

from marketsync.errors import ConfigError

BACKLOG = 16


@asynccontextmanager
async def listening(
    key: str,
    listen: str,
    serve: Callable[[socket.socket], Awaitable[None]],
    *,
    elsewhere: bool,
    begin_after: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """`serve` runs while entered; yields the port. ConfigError, which names `key`, for an address that is not loopback, unless
    `elsewhere`, and for one that is taken. Who asks before `begin_after` returned waits for it."""

    async def begun(sock: socket.socket) -> None:
        if begin_after is not None:
            await begin_after()
        await serve(sock)

    with _bound(key, listen, elsewhere=elsewhere) as sock:
        serving = asyncio.create_task(begun(sock))
        try:
            yield sock.getsockname()[1]
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(key: str, listen: str, *, elsewhere: bool) -> socket.socket:
    host, port = _address(listen)
    if not elsewhere and not is_loopback(host):
        raise ConfigError(
            f"daemon.{key}: {listen} is not loopback; say daemon.listen_elsewhere = true if it is meant"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"daemon.{key}: {listen} cannot be listened on ({error.strerror})") from None


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)
