"""What answers at /hints/NAME. Imported once the engine is at work: the server's half of the library is slow to load."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from logging import Logger, NullHandler
from typing import assert_never, cast

from aiohttp import web

from marketsync.engine.hints import Heard
from marketsync.ports import Clock, Observer
from marketsync.server.hints import Door
from marketsync.server.listening import is_loopback
from marketsync.server.rates import Rates

PREFIX = "/hints/"
BODY_BYTES_MAX = 1024 * 1024
HEADER_BYTES_MAX = 8190
BACKLOG = 128
CONNECTIONS_MAX = 64
BODIES_MAX = 16
REQUEST_SECONDS = 10.0
# Twice this is the longest that a connection may live, whatever it does or leaves undone.
ROUND_SECONDS = 15.0
LINGER_SECONDS = 1.0
TAKEN = (200, 204)
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Doorway:
    """Every request is a connection of its own."""

    def __init__(self, doors: Mapping[str, Door], clock: Clock, observer: Observer) -> None:
        self._doors = doors
        self._clock = clock
        self._observer = observer
        self._rates = Rates(clock)
        self._bodies = asyncio.Semaphore(BODIES_MAX)
        self._server = web.Server(
            self._handle, logger=_silent(), access_log=None, lingering_time=LINGER_SECONDS,
            max_line_size=HEADER_BYTES_MAX, max_field_size=HEADER_BYTES_MAX, auto_decompress=False,
        )  # fmt: skip

    async def serve(self, sock: socket.socket) -> None:
        """Until cancelled."""
        server = await asyncio.get_running_loop().create_server(self._accept, sock=sock, backlog=BACKLOG)
        try:
            await self._close_what_is_old()
        finally:
            server.close()
            await self._server.shutdown(LINGER_SECONDS)

    def _accept(self) -> asyncio.BaseProtocol:
        if len(self._server.connections) < CONNECTIONS_MAX:
            return self._server()
        self._refused(503)
        return _Full()

    def _refused(self, status: int) -> None:
        self._observer.count("marketsync_hints_refused_total", 1, status=str(status))

    async def _close_what_is_old(self) -> None:
        """The library waits for ever for a request that does not come."""
        while True:
            old = self._server.connections
            await self._clock.sleep(ROUND_SECONDS)
            for connection in self._server.connections:
                if connection in old:
                    connection.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await self._answer(request)
        except TimeoutError:
            answer = web.Response(status=503)
        except (ConnectionError, web.RequestPayloadError):
            answer = web.Response(status=400)
        except Exception as error:  # noqa: BLE001 - the top of a request: an adapter's defect is answered and shown, and the next may come
            self._observer.event("hints.request_failed", error=type(error).__name__)
            answer = web.Response(status=500)
        if answer.status not in TAKEN:
            self._refused(answer.status)
        answer.force_close()
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if not self._rates.admits(_source(request)):
            return web.Response(status=429, headers={"Retry-After": "1"})
        name = request.path.removeprefix(PREFIX)
        door = self._doors.get(name) if request.path.startswith(PREFIX) else None
        if door is None:
            return web.Response(status=404)
        match request.method:
            case "GET":
                return _challenged(door, request)
            case "POST":
                return await self._pushed(door, request)
            case _:
                return web.Response(status=405, headers={"Allow": "GET, POST"})

    async def _pushed(self, door: Door, request: web.BaseRequest) -> web.Response:
        if self._bodies.locked():
            return web.Response(status=503)
        async with self._bodies:
            body = await _body(request)
            if body is None:
                return web.Response(status=413)
            headers = {name.lower(): value for name, value in request.headers.items()}
            return web.Response(status=_status(await door.pushed(headers, body)))


class _Full(asyncio.Protocol):
    """Answers whoever finds all places taken."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        taken = cast("asyncio.Transport", transport)
        taken.write(FULL)
        taken.close()


def _challenged(door: Door, request: web.BaseRequest) -> web.Response:
    answer = door.answer_challenge(dict(request.query))
    if answer is None:
        return web.Response(status=400)
    return web.Response(body=answer, content_type="application/json")


async def _body(request: web.BaseRequest) -> bytes | None:
    """None for more than is read."""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        return None
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _status(heard: Heard) -> int:
    match heard:
        case Heard.TAKEN:
            return 204
        case Heard.FORGED:
            return 412
        case Heard.UNSURE:
            return 503
        case _:
            assert_never(heard)


def _source(request: web.BaseRequest) -> str:
    """Who calls, as the proxy in front of us says it. Only a proxy on this machine is believed, and of it only its own entry,
    the last: what is before that, the caller has written."""
    peer = request.remote or ""
    if not is_loopback(peer):
        return peer
    stated = request.headers.getall("X-Forwarded-For", [""])[-1].rpartition(",")[2].strip()
    return stated[:64] or peer


def _silent() -> Logger:
    """The library would write down what it could not read."""
    logger = Logger("marketsync.hints")  # noqa: LOG001 - one that nobody else can find and make speak
    logger.addHandler(NullHandler())
    return logger
