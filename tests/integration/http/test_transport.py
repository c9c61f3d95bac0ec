from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import traceback
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from marketsync.errors import InDoubt, MarketsyncError, ReadFailed, Retry, TooLate
from marketsync.http.transport import AiohttpTransport
from marketsync.ports import Request, Response

Serve = Callable[..., Awaitable[Any]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
WRITES = ["POST", "PUT", "DELETE", "PATCH"]


def answering(*pieces: bytes, close: bool = False) -> Callable[..., Awaitable[None]]:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
        if close:
            await writer.drain()
            writer.close()

    return respond


def request(url: str, method: str = "GET", **options: Any) -> Request:
    write = method != "GET"
    options.setdefault("body", b'{"canary": "buyer"}' if write else b"")
    options.setdefault("headers", (("Authorization", "Bearer canary"),))
    options.setdefault("total_seconds", 5.0)
    return Request(
        connection="shop", operation="orders", method=method, url=url + "?q=canary", write=write, **options
    )


async def failure(transport: AiohttpTransport, sent: Request) -> MarketsyncError:
    with pytest.raises(MarketsyncError) as raised:
        await transport.send(sent)
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    return raised.value


def unwanted(method: str) -> type[MarketsyncError]:
    return ReadFailed if method == "GET" else InDoubt


async def test_an_answer_arrives_whole(transport: AiohttpTransport, clock: Any, serve: Serve) -> None:
    server = await serve(
        answering(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\n[]")
    )
    response = await transport.send(request(server.url(), "POST"))
    assert response == Response(201, {"x-a": "1", "content-length": "2"}, b"[]", clock.monotonic())
    head = server.requests[0].decode()
    assert head.startswith("POST /orders?q=canary HTTP/1.1\r\n")
    assert "Authorization: Bearer canary\r\n" in head
    assert "Cookie" not in head


async def test_an_encoded_url_leaves_as_it_was_signed(transport: AiohttpTransport, serve: Serve) -> None:
    server = await serve(answering(OK))
    await transport.send(request(server.url("/orders/a%2Fb%7E"), "GET"))
    assert server.requests[0].startswith(b"GET /orders/a%2Fb%7E?q=canary ")


@pytest.mark.rule("A3")
@pytest.mark.parametrize("method", WRITES)
async def test_too_late_means_that_nothing_left(
    transport: AiohttpTransport, clock: Any, serve: Serve, method: str
) -> None:
    server = await serve(answering(OK))
    assert isinstance(await failure(transport, request(server.url(), method, send_by=clock.time)), TooLate)
    await transport.send(request(server.url(), method, send_by=clock.time + 0.1))
    assert len(server.requests) == 1


@pytest.mark.rule("A3")
async def test_the_deadline_is_checked_after_the_connection_was_made(
    transport: AiohttpTransport, clock: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(answering(OK))
    connect = asyncio.get_running_loop().sock_connect

    async def slow_connect(sock: socket.socket, address: Any) -> None:
        await connect(sock, address)
        clock.time += 10

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", slow_connect)
    assert isinstance(
        await failure(transport, request(server.url(), "POST", send_by=clock.time + 5)), TooLate
    )
    assert server.requests == []


@pytest.mark.failure(31)
@pytest.mark.failure(32)
@pytest.mark.requirement("R19")
@pytest.mark.parametrize("method", ["GET", *WRITES])
async def test_a_dead_kept_connection_never_makes_a_second_request(
    transport: AiohttpTransport, serve: Serve, method: str
) -> None:
    """The server answers once per connection and cuts the second request without an answer."""
    server: Any = None

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) % 2:
            writer.write(OK)
        else:
            writer.close()

    server = await serve(respond)
    await transport.send(request(server.url(), method))
    error = await failure(transport, request(server.url(), method))
    assert type(error) is unwanted(method)
    assert len(server.requests) == 2


@pytest.mark.failure(32)
@pytest.mark.parametrize("method", ["GET", *WRITES])
@pytest.mark.parametrize("body", [b"", b"x"])
async def test_a_cut_before_the_answer_is_one_request(
    transport: AiohttpTransport, serve: Serve, method: str, body: bytes
) -> None:
    server = await serve(answering(close=True))
    error = await failure(transport, request(server.url(), method, body=body))
    assert type(error) is unwanted(method)
    assert len(server.requests) == 1


async def test_what_the_library_would_repeat_never_uses_a_kept_connection(
    transport: AiohttpTransport, serve: Serve
) -> None:
    server = await serve(answering(OK))
    for method in ("PUT", "DELETE", "PATCH"):
        for _ in range(2):
            await transport.send(request(server.url(), method))
    assert server.connections == 6
    await transport.send(request(server.url(), "POST"))
    await transport.send(request(server.url(), "POST"))
    assert server.connections == 7
    await transport.send(request(server.url()))
    await transport.send(request(server.url()))
    assert server.connections == 8


async def test_no_write_goes_out_on_a_connection_that_was_idle(
    transport: AiohttpTransport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(answering(OK))
    now = 1000.0
    monkeypatch.setattr("aiohttp.connector.monotonic", lambda: now)
    for idle, connections in ((0.0, 1), (1.9, 1), (2.1, 2)):
        now += idle
        await transport.send(request(server.url(), "POST"))
        assert server.connections == connections


@pytest.mark.failure(43)
@pytest.mark.parametrize("method", ["GET", *WRITES])
async def test_a_refused_connection_is_certainly_not_sent(transport: AiohttpTransport, method: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = await failure(transport, request(f"http://127.0.0.1:{port}/", method))
    assert type(error) is Retry
    assert str(error) == "no connection to 127.0.0.1"
    assert error.counted


@pytest.mark.failure(43)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_name_is_certainly_not_sent(
    transport: AiohttpTransport, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(*args: Any, **options: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    error = await failure(transport, request("http://shop.example/", method))
    assert type(error) is Retry
    assert str(error) == "the name shop.example was not found"


@pytest.mark.failure(43)
async def test_a_connection_that_is_not_made_in_time_is_certainly_not_sent(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(sock: socket.socket, address: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    for limits in ({"connect_seconds": 0.05}, {"total_seconds": 0.05}):
        error = await failure(transport, request("http://127.0.0.1:9/", "POST", **limits))
        assert type(error) is Retry
        assert str(error) == "no connection to 127.0.0.1 in time"


@pytest.mark.failure(44)
async def test_a_certificate_that_is_not_trusted_is_never_accepted(
    transport: AiohttpTransport, serve: Serve, certificate: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = await serve(answering(OK), ssl=context)
    error = await failure(transport, request(server.url(scheme="https"), "POST"))
    assert type(error) is Retry
    assert str(error) == "TLS for 127.0.0.1 failed on 2026-03-01: self-signed certificate"
    assert server.requests == []


@pytest.mark.failure(44)
async def test_a_certificate_for_another_host_is_never_accepted(
    clock: Any, serve: Serve, certificate: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = await serve(answering(OK), ssl=context)
    pinned = AiohttpTransport(clock, ssl_context=ssl.create_default_context(cafile=str(certificate[0])))
    error = await failure(pinned, request(server.url(scheme="https"), "PUT"))
    await pinned.close()
    assert type(error) is Retry
    assert "TLS for 127.0.0.1 failed on 2026-03-01: IP address mismatch" in str(error)
    assert server.requests == []


@pytest.mark.failure(44)
async def test_old_tls_and_no_tls_are_certainly_not_sent(
    transport: AiohttpTransport, serve: Serve, certificate: tuple[Path, Path]
) -> None:
    plain = await serve(answering(OK))
    error = await failure(transport, request(plain.url(scheme="https"), "POST", connect_seconds=0.5))
    assert type(error) is Retry
    assert transport._ssl_context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert transport._ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert transport._ssl_context.check_hostname


def test_connections_share_the_authorities_unless_one_has_its_own(clock: Any) -> None:
    own = ssl.create_default_context()
    first, second = AiohttpTransport(clock), AiohttpTransport(clock)
    assert first._ssl_context is second._ssl_context
    assert AiohttpTransport(clock, ssl_context=own)._ssl_context is own


@pytest.mark.failure(44)
async def test_a_trusted_certificate_is_used(
    clock: Any, serve: Serve, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = await serve(answering(OK), ssl=context)
    resolving_to("127.0.0.1", monkeypatch)
    pinned = AiohttpTransport(
        clock, allow_private=True, ssl_context=ssl.create_default_context(cafile=str(certificate[0]))
    )
    for method in ("GET", "POST", "PUT"):
        assert (
            await pinned.send(request(server.url(scheme="https", host="shop.example"), method))
        ).status == 200
    await pinned.close()


def resolving_to(addresses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(host: str, port: int, **options: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses.split()]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.0.9", "100.64.0.1", "127.0.0.1 93.184.216.34"],
)
async def test_a_name_that_resolves_to_an_inner_address_is_refused(
    transport: AiohttpTransport, serve: Serve, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(answering(OK))
    resolving_to(address, monkeypatch)
    error = await failure(transport, request(server.url(host="shop.example"), "POST"))
    assert type(error) is Retry
    assert "shop.example is not a public address" in str(error)
    assert server.connections == 0


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "[fd00::1]"])
async def test_a_literal_inner_address_is_refused(transport: AiohttpTransport, host: str) -> None:
    error = await failure(transport, request(f"http://{host}/", "POST"))
    assert type(error) is Retry
    assert "not a public address" in str(error)


async def test_an_inner_address_is_used_where_it_is_allowed(
    clock: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(answering(OK))
    resolving_to("127.0.0.1", monkeypatch)
    inner = AiohttpTransport(clock, allow_private=True)
    assert (await inner.send(request(server.url(host="shop.example"), "POST"))).status == 200
    await inner.close()


@pytest.mark.failure(45)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_an_endless_body_is_cut_off(transport: AiohttpTransport, serve: Serve, method: str) -> None:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    server = await serve(respond)
    error = await failure(transport, request(server.url(), method, body_bytes_max=1_000_000))
    assert type(error) is unwanted(method)
    assert "larger than 1000000 bytes" in str(error)


@pytest.mark.failure(45)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_slow_answer_ends_at_the_total_deadline(
    transport: AiohttpTransport, serve: Serve, method: str, start: bytes
) -> None:
    hold = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await hold.wait()

    server = await serve(respond)
    error = await failure(transport, request(server.url(), method, total_seconds=0.2))
    assert type(error) is unwanted(method)
    assert "no whole answer in time" in str(error)
    assert len(server.requests) == 1


@pytest.mark.failure(45)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_does_not_go_off(transport: AiohttpTransport, serve: Serve, coding: str) -> None:
    bomb = b" " * 50_000_000
    packed = gzip.compress(bomb) if coding == "gzip" else zlib.compress(bomb)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
    server = await serve(answering(head.encode() + packed))
    for limit, said in ((100_000_000, "unpacks to more than"), (1000, "unpacks to more than 1000 bytes")):
        error = await failure(transport, request(server.url(), "POST", body_bytes_max=limit))
        assert type(error) is InDoubt
        assert said in str(error)


async def test_compressed_answers_are_read(transport: AiohttpTransport, serve: Serve) -> None:
    body = b'{"a": "' + b"x" * 200_000 + b'"}'
    packed = gzip.compress(body)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    server = await serve(answering(head + packed))
    assert (await transport.send(request(server.url()))).body == body


@pytest.mark.failure(33)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
            "compression is broken",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n"
            + gzip.compress(b"{}")[:9],
            "compression ends early",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 24\r\n\r\n"
            + gzip.compress(b"{}")
            + b"xx",
            "behind its compressed end",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "not asked for"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", "was cut"),
        (b"this is canary not HTTP\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX-Canary: " + b"canary" * 10_000 + b"\r\n\r\n", "not HTTP"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_broken_answer_is_a_doubt(
    transport: AiohttpTransport, serve: Serve, method: str, answer: bytes, said: str
) -> None:
    server = await serve(answering(answer, close=True))
    error = await failure(transport, request(server.url(), method))
    assert type(error) is unwanted(method)
    assert said in str(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_redirect_is_an_answer_and_is_not_followed(
    transport: AiohttpTransport, serve: Serve, method: str, status: int
) -> None:
    elsewhere = await serve(answering(OK))
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {elsewhere.url()}\r\nContent-Length: 0\r\n\r\n"
    server = await serve(answering(head.encode()))
    assert (await transport.send(request(server.url(), method))).status == status
    assert elsewhere.connections == 0


async def test_cookies_are_not_kept(transport: AiohttpTransport, serve: Serve) -> None:
    server = await serve(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))
    await transport.send(request(server.url()))
    await transport.send(request(server.url()))
    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.rule("A6")
async def test_a_write_that_was_given_up_is_reset_and_not_flushed(
    transport: AiohttpTransport, serve: Serve
) -> None:
    """The far side sees a reset, so what the kernel held cannot land later; a finished write ends in peace."""
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 2:
            writer.write(OK)
        try:
            await reader.read()
            ended.put_nowait("closed")
        except ConnectionResetError:
            ended.put_nowait("reset")
        writer.close()

    server = await serve(respond)
    assert type(await failure(transport, request(server.url(), "PUT", total_seconds=0.2))) is InDoubt
    assert await ended.get() == "reset"
    await transport.send(request(server.url(), "PUT"))
    assert await ended.get() == "closed"


@pytest.mark.rule("A6")
async def test_the_kernel_gives_up_on_a_write_in_time(
    transport: AiohttpTransport, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options: list[tuple[Any, ...]] = []
    real = socket.socket.setsockopt

    def noting(sock: socket.socket, *option: Any) -> None:
        set_options.append(option)
        real(sock, *option)

    monkeypatch.setattr(socket.socket, "setsockopt", noting)
    server = await serve(answering(OK))
    await transport.send(request(server.url(), "POST", total_seconds=7.0))
    assert (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 7000) in set_options
    lingers = [option[2] for option in set_options if option[:2] == (socket.SOL_SOCKET, socket.SO_LINGER)]
    assert lingers == []


async def test_a_cancelled_write_is_reset_too(transport: AiohttpTransport, serve: Serve) -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()
    arrived = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        try:
            await reader.read()
            ended.put_nowait("closed")
        except ConnectionResetError:
            ended.put_nowait("reset")
        writer.close()

    server = await serve(respond)
    task = asyncio.create_task(transport.send(request(server.url(), "POST")))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ended.get() == "reset"


async def test_against_a_real_web_server(transport: AiohttpTransport) -> None:
    seen: list[tuple[str, bytes]] = []

    async def handler(incoming: web.Request) -> web.Response:
        seen.append((incoming.method, await incoming.read()))
        answer = web.json_response({"items": [1] * 5000})
        answer.enable_compression()
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/orders"
    big = b"x" * 900_000
    for method in ("GET", *WRITES):
        response = await transport.send(request(url, method, body=b"" if method == "GET" else big))
        assert response.status == 200
        assert response.body.startswith(b'{"items": [1, 1')
        assert "date" in response.headers
    await runner.cleanup()
    assert seen == [("GET", b""), *((method, big) for method in WRITES)]
