"""Metrics and health over HTTP, on loopback. Nothing here shows an order, and nothing here can hold up the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_address

from aiohttp import web

from marketsync.errors import ConfigError

SCRAPES_MAX = 4
HEADER_BYTES_MAX = 4096
READY_SECONDS = 5.0
KEEPALIVE_SECONDS = 15.0
LINGER_SECONDS = 1.0


@asynccontextmanager
async def metrics_server(
    listen: str,
    *,
    elsewhere: bool,
    exposition: Callable[[], bytes],
    healthy: Callable[[], bool],
    ready: Callable[[], Awaitable[bool]],
) -> AsyncIterator[int]:
    """Serves /metrics, /healthz and /readyz while entered; yields the port. ConfigError for an address that is not loopback,
    unless `elsewhere`, and for one that is taken."""
    host, port = _address(listen)
    if not elsewhere and not _is_loopback(host):
        raise ConfigError(
            f"daemon.listen: {listen} is not loopback; say daemon.listen_elsewhere = true if it is meant"
        )
    async with AsyncExitStack() as stack:
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
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, host, port, backlog=16)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"daemon.listen: {listen} cannot be listened on ({error.strerror})") from None
        yield runner.addresses[0][1]


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


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
