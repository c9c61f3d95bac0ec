"""Metrics and health over HTTP, on loopback. Nothing here shows an order, and nothing here can hold up the daemon."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from marketsync.server.listening import listening


@asynccontextmanager
async def metrics_server(
    listen: str,
    *,
    elsewhere: bool,
    exposition: Callable[[], bytes],
    healthy: Callable[[], bool],
    ready: Callable[[], Awaitable[bool]],
    begin_after: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[int]:
    """Serves /metrics, /healthz and /readyz while entered; yields the port."""

    async def serve(sock: socket.socket) -> None:
        from marketsync.server import pages

        await pages.serve(sock, exposition, healthy, ready)

    async with listening("listen", listen, serve, elsewhere=elsewhere, begin_after=begin_after) as port:
        yield port
