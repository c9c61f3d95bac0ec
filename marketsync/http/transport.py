"""Carries one request once over a real socket, and knows whether it may have left."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from marketsync.errors import InDoubt, MarketsyncError, ReadFailed, Retry, TooLate
from marketsync.http.addresses import is_literal, is_literal_loopback, is_public
from marketsync.http.bodies import UnusableBody, read_body
from marketsync.ports import Clock, Request, Response

WRITE_IDLE_SECONDS = 2.0
READ_IDLE_SECONDS = 15.0
# As many as one connection may have in flight: who waits for a place here loses time to connect.
CONNECTIONS_MAX = 64
CHUNK_BYTES = 64 * 1024
_IDEMPOTENT_WRITES = frozenset({"PUT", "DELETE", "PATCH"})
_LINGER_ABORT = struct.pack("ii", 1, 0)


class AiohttpTransport:
    """One per connection. Addresses that are not public are refused unless `allow_private` is set.

    A literal loopback address in the URL is the operator's own word and always allowed: no link leaves the
    origin, and a name that merely resolves to loopback stays refused.
    """

    def __init__(
        self, clock: Clock, *, allow_private: bool = False, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._clock = clock
        self._allow_private = allow_private
        self._given_ssl_context = ssl_context
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    @property
    def _ssl_context(self) -> ssl.SSLContext:
        return self._given_ssl_context or default_ssl_context()

    async def send(self, request: Request) -> Response:
        exchange = _Exchange(request, self._clock)
        try:
            return await self._send(request, exchange)
        except (aiohttp.ClientError, OSError, TimeoutError, UnusableBody) as error:
            exchange.fail(error)

    async def close(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _send(self, request: Request, exchange: _Exchange) -> Response:
        url = URL(request.url, encoded=True)
        self._check_literal(url.host or "")
        call = self._session(request).request(
            request.method,
            url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            timeout=_limits(request.connect_seconds, request.total_seconds),
            middlewares=(exchange.once,),
        )
        async with call as answer:
            encoding = answer.headers.get("Content-Encoding", "")
            chunks = answer.content.iter_chunked(CHUNK_BYTES)
            with exchange.aborting():
                body = await read_body(chunks, encoding, request.body_bytes_max)
            headers = {name.lower(): value for name, value in reversed(list(answer.headers.items()))}
            return Response(answer.status, headers, body, self._clock.monotonic())

    def _check_literal(self, host: str) -> None:
        refused = is_literal(host) and not is_public(host) and not is_literal_loopback(host)
        if refused and not self._allow_private:
            raise Retry(_private_text(host))

    def _session(self, request: Request) -> aiohttp.ClientSession:
        """Reads keep connections, POST keeps them for a moment, what the client library would repeat never does (D6)."""
        if not request.write:
            kind, idle = "read", READ_IDLE_SECONDS
        elif request.method.upper() in _IDEMPOTENT_WRITES:
            kind, idle = "fresh", None
        else:
            kind, idle = "post", WRITE_IDLE_SECONDS
        if kind not in self._sessions:
            self._sessions[kind] = self._new_session(idle, secure=request.url.startswith("https:"))
        return self._sessions[kind]

    def _new_session(self, idle_seconds: float | None, *, secure: bool) -> aiohttp.ClientSession:
        keeping = {"force_close": True} if idle_seconds is None else {"keepalive_timeout": idle_seconds}
        connector = aiohttp.TCPConnector(
            ssl=self._ssl_context if secure else True,
            limit=CONNECTIONS_MAX,
            resolver=_Resolver(allow_private=self._allow_private),
            **keeping,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_OnceRequest,
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "gzip", "User-Agent": "marketsync"},
            skip_auto_headers=("Content-Type",),
        )


@functools.lru_cache(maxsize=256)
def _limits(connect_seconds: float, total_seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total_seconds, connect=connect_seconds)


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """One for all connections, made when the first needs it: reading the authorities takes time and a megabyte."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _Exchange:
    """One request on its way: `begun` from the moment at which bytes may have left."""

    def __init__(self, request: Request, clock: Clock) -> None:
        self._request = request
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self.begun = False

    async def once(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A client middleware: it is asked again when the library means to repeat what was cut, and refuses (D6)."""
        if not isinstance(request, _OnceRequest) or self.begun:
            raise self._doubt("the connection was cut")
        request.exchange = self
        with self.aborting():
            return await handler(request)

    def depart(self, connection: aiohttp.connector.Connection) -> None:
        """The last thing before the bytes (A3)."""
        if self._request.send_by is not None and self._clock.monotonic() >= self._request.send_by:
            raise TooLate
        self.begun = True
        if self._request.write:
            self._transport = connection.transport
            timeout = int(self._request.total_seconds * 1000)
            self._set_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout)

    @contextlib.contextmanager
    def aborting(self) -> Iterator[None]:
        """What the kernel still holds of a write must not land after we gave up (A6).

        Has to run in the same step as the failure: one turn of the loop later the socket is closed, and flushes.
        """
        try:
            yield
        except BaseException:
            if self._transport is not None:
                self._set_option(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ABORT)
                self._transport.abort()
            raise

    def fail(self, error: BaseException) -> NoReturn:
        """Texts of the library hold URLs with their queries: they are neither shown nor chained."""
        if self.begun:
            raise self._doubt(_cut_text(error)) from None
        raise Retry(self._unsent_text(error)) from None

    def _doubt(self, reason: str) -> MarketsyncError:
        text = f"{self._request.operation}: {reason}"
        return InDoubt(text) if self._request.write else ReadFailed(text)

    def _unsent_text(self, error: BaseException) -> str:
        host = URL(self._request.url, encoded=True).host or ""
        match error:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return f"TLS for {host} failed on {self._clock.now().date()}: {_tls_text(error)}"
            case aiohttp.ClientConnectorDNSError(os_error=_PrivateAddress()):
                return _private_text(host)
            case aiohttp.ClientConnectorDNSError():
                return f"the name {host} was not found"
            case TimeoutError():
                return f"no connection to {host} in time"
            case _:
                return f"no connection to {host}"

    def _set_option(self, level: int, name: int, value: int | bytes) -> None:
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() != -1:
            sock.setsockopt(level, name, value)


class _OnceRequest(aiohttp.ClientRequest):
    exchange: _Exchange

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        self.exchange.depart(conn)
        return await super().send(conn)


class _PrivateAddress(OSError):
    pass


class _Resolver(AbstractResolver):
    """Judges what a name resolved to, and hands out exactly that: a second look-up can't change it."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not self._allow_private and not all(is_public(entry["host"]) for entry in found):
            raise _PrivateAddress("not a public address")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _private_text(host: str) -> str:
    return f"{host} is not a public address: set allow_private on the connection if it is meant"


def _tls_text(error: BaseException) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    match inner:
        case ssl.SSLCertVerificationError(verify_message=message):
            return str(message)
        case ssl.SSLError(reason=str(reason)):
            return reason.lower().replace("_", " ")
        case _:
            return "no handshake"


def _cut_text(error: BaseException) -> str:
    match error:
        case UnusableBody():
            return str(error)
        case TimeoutError():
            return "no whole answer in time"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
        case _:
            return "the connection was cut"
