"""Real servers on loopback, and a clock that tests turn by hand."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from marketsync.http.transport import AiohttpTransport

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class HandClock:
    def __init__(self) -> None:
        self.time = 100.0

    @property
    def boot_id(self) -> str:
        return "boot"

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 12, 0, tzinfo=UTC) + timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


class RawServer:
    """Speaks bytes: `requests` are heads as received, `connections` counts accepted sockets."""

    def __init__(self, respond: Handler) -> None:
        self.respond = respond
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self.tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        await reader.readexactly(int(line.partition(b":")[2]))
                await self.respond(reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        writer.transport.abort()
        self.tasks.discard(task)

    def url(self, path: str = "/orders", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def transport(clock: HandClock) -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport(clock)
    yield made
    await made.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[RawServer]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(respond: Handler, **options: Any) -> RawServer:
            raw = RawServer(respond)
            server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, **options)
            raw.port = server.sockets[0].getsockname()[1]

            async def stop() -> None:
                server.close()
                for task in list(raw.tasks):
                    task.cancel()
                await asyncio.gather(*raw.tasks, return_exceptions=True)

            stack.push_async_callback(stop)
            return raw

        yield start


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A fresh self-signed certificate for the name shop.example and no other."""
    folder = tmp_path_factory.mktemp("tls")
    key, pem = folder / "key.pem", folder / "cert.pem"
    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {pem} -days 2 -subj /CN=shop.example"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:shop.example"],
        check=True,
        capture_output=True,
    )
    return pem, key
