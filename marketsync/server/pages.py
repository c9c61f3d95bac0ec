"""The pages themselves. Imported once the engine is at work: the server's half of the library is slow to load."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

SCRAPES_MAX = 4
HEADER_BYTES_MAX = 4096
READY_SECONDS = 5.0
KEEPALIVE_SECONDS = 15.0
LINGER_SECONDS = 1.0


async def serve(
    sock: socket.socket,
    exposition: Callable[[], bytes],
    healthy: Callable[[], bool],
    ready: Callable[[], Awaitable[bool]],
) -> None:
    """Until cancelled."""
    runner = web.AppRunner(
        _application(exposition, healthy, ready),
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=LINGER_SECONDS,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
    )
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


def _application(
    exposition: Callable[[], bytes], healthy: Callable[[], bool], ready: Callable[[], Awaitable[bool]]
) -> web.Application:
    turns = asyncio.Semaphore(SCRAPES_MAX)

    async def metrics(_: web.Request) -> web.Response:
        if turns.locked():
            return web.Response(status=503, text="too many scrapes at once\n")
        async with turns:
            return web.Response(body=exposition(), content_type="text/plain", charset="utf-8")

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(healthy())

    async def readyz(_: web.Request) -> web.Response:
        try:
            return _verdict(await asyncio.wait_for(ready(), READY_SECONDS))
        except TimeoutError:
            return _verdict(False)

    application = web.Application(client_max_size=1024)
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    return application


def _verdict(good: bool) -> web.Response:
    return web.Response(status=200 if good else 503, text="ok\n" if good else "not ok\n")
