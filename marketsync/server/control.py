"""The control socket: commands to a running daemon, one JSON object per line each way.

A request is `{"command": ..., "args": {...}}`. Answers are any number of `{"progress": ...}` and then one
`{"ok": ...}` or `{"error": ..., "kind": ...}`. Whoever can open the socket (0600) is the operator.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from marketsync.commands.desk import NeedsDaemon, UsageError
from marketsync.errors import MarketsyncError, StoreError, StoreLocked
from marketsync.ports import Observer

SOCKET_NAME = "control.sock"
LINE_BYTES_MAX = 64 * 1024
CLIENTS_MAX = 8
IDLE_SECONDS = 60.0
ADDRESS_BYTES_MAX = 107
ANSWER_SECONDS = 2.0

Progress = Callable[[str], Awaitable[None]]
Handler = Callable[[str, Mapping[str, Any], Progress], Awaitable[Any]]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    command: str
    args: dict[str, Any] = {}


@asynccontextmanager
async def control_server(state_dir: Path, handle: Handler, observer: Observer) -> AsyncIterator[Path]:
    """Serves while entered. A socket that nobody answers at is left over; StoreLocked where somebody does."""
    path = _free(state_dir)
    tasks: dict[asyncio.Task[None], None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks[task] = None
        try:
            if len(tasks) > CLIENTS_MAX:
                await _answer(writer, {"error": "too many commands at once: try again", "kind": "busy"})
            else:
                await _serve(reader, writer, handle, observer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            return
        finally:
            if task is not None:
                tasks.pop(task, None)
            writer.close()

    server = await _listen(path, serve)
    try:
        yield path
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        path.unlink(missing_ok=True)


def _free(state_dir: Path) -> Path:
    if _is_served(state_dir / SOCKET_NAME):
        raise StoreLocked(
            f"{state_dir} is the state_dir of another daemon that runs: its commands would come here; give each its own"
        )
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (state_dir / SOCKET_NAME).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{state_dir}: {error.strerror}") from None
    return state_dir / SOCKET_NAME


def _is_served(path: Path) -> bool:
    """With PostgreSQL the lock is the database's: two daemons may be given one state_dir by mistake."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(ANSWER_SECONDS)
        try:
            sock.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


async def _listen(
    path: Path, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server:
    """Bound under a umask, so that there is no moment at which others may connect."""
    _check_length(path)
    previous = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, path, limit=LINE_BYTES_MAX, backlog=CLIENTS_MAX)
    finally:
        os.umask(previous)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handle: Handler, observer: Observer
) -> None:
    async def progress(text: str) -> None:
        await _answer(writer, {"progress": text})

    while line := await _line(reader, writer):
        try:
            asked = msgspec.json.decode(line, type=Asked)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            await _answer(writer, {"error": "not a request", "kind": "usage"})
            return
        await _answer(writer, await _outcome(asked, handle, progress, observer))


async def _outcome(asked: Asked, handle: Handler, progress: Progress, observer: Observer) -> dict[str, Any]:
    try:
        return {"ok": await handle(asked.command, asked.args, progress)}
    except MarketsyncError as error:
        return {"error": str(error), "kind": _kind(error)}
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - a command's defect is answered; the daemon goes on
        observer.event("control.request_failed", kind=asked.command[:40], error=type(error).__name__)
        return {"error": f"{asked.command} failed unexpectedly ({type(error).__name__})", "kind": "defect"}


def _kind(error: MarketsyncError) -> str:
    match error:
        case UsageError():
            return "usage"
        case NeedsDaemon():
            return "needs_daemon"
        case _:
            return "refused"


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The next request; b"" at the end, or when nothing came for a while."""
    try:
        return await asyncio.wait_for(reader.readline(), IDLE_SECONDS)
    except ValueError:
        await _answer(writer, {"error": f"a request has at most {LINE_BYTES_MAX} bytes", "kind": "usage"})
    except TimeoutError:
        pass
    return b""


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


def _check_length(path: Path) -> None:
    if len(os.fsencode(path)) > ADDRESS_BYTES_MAX:
        raise StoreError(
            f"{path}: a socket's path has at most {ADDRESS_BYTES_MAX} bytes; use a shorter state_dir"
        )
