from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from marketsync.commands.desk import NeedsDaemon, UsageError
from marketsync.errors import ConfigError, StoreError, StoreLocked
from marketsync.ops.observe import Silence
from marketsync.server.control import CLIENTS_MAX, Progress, control_server
from marketsync.server.metrics import metrics_server


async def handle(command: str, args: Mapping[str, Any], progress: Progress) -> Any:
    match command:
        case "count":
            for number in range(args["to"]):
                await progress(f"at {number}")
            return args["to"]
        case "usage":
            raise UsageError("no such thing")
        case "daemon":
            raise NeedsDaemon("not here")
        case "store":
            raise StoreError("the disk is gone")
        case _:
            raise RuntimeError("with s3cret-canary inside")


async def spoken(path: Path, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that is answered until as many requests are settled."""
    reader, writer = await asyncio.open_unix_connection(path)
    answers: list[dict[str, Any]] = []
    try:
        for request in requests:
            writer.write(json.dumps(request).encode() + b"\n")
        while sum("progress" not in answer for answer in answers) < len(requests):
            answers.append(json.loads(await reader.readline()))
        return answers
    finally:
        writer.close()


async def test_progress_comes_before_the_result_and_one_client_may_ask_twice(tmp_path: Path) -> None:
    async with control_server(tmp_path, handle, Silence()) as path:
        asked = {"command": "count", "args": {"to": 2}}
        assert await spoken(path, asked, asked) == [{"progress": "at 0"}, {"progress": "at 1"}, {"ok": 2}] * 2
    assert not path.exists()


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("usage", {"error": "no such thing", "kind": "usage"}),
        ("daemon", {"error": "not here", "kind": "needs_daemon"}),
        ("store", {"error": "the disk is gone", "kind": "refused"}),
        ("defect", {"error": "defect failed unexpectedly (RuntimeError)", "kind": "defect"}),
    ],
)
async def test_an_error_is_an_answer_with_its_kind(
    tmp_path: Path, command: str, answer: dict[str, str]
) -> None:
    async with control_server(tmp_path, handle, Silence()) as path:
        assert await spoken(path, {"command": command}) == [answer]
        assert await spoken(path, {"command": "count", "args": {"to": 0}}) == [{"ok": 0}]


async def test_more_clients_than_are_served_are_told_so_and_waiting_ones_do_not_hold_up_the_end(
    tmp_path: Path,
) -> None:
    begun = asyncio.Semaphore(0)

    async def stuck(command: str, args: Mapping[str, Any], progress: Progress) -> Any:
        begun.release()
        await asyncio.Event().wait()

    async with control_server(tmp_path, stuck, Silence()) as path:
        waiting = [asyncio.create_task(spoken(path, {"command": "wait"})) for _ in range(CLIENTS_MAX)]
        for _ in waiting:
            await begun.acquire()
        assert [answer["kind"] for answer in await spoken(path, {"command": "count"})] == ["busy"]
    for ended in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(ended, Exception)


async def test_a_socket_that_was_left_over_is_replaced_and_a_long_path_refused(tmp_path: Path) -> None:
    (tmp_path / "control.sock").touch()
    (tmp_path / "file").touch()
    async with control_server(tmp_path, handle, Silence()) as path:
        assert await spoken(path, {"command": "count", "args": {"to": 0}}) == [{"ok": 0}]
    async with control_server(tmp_path / "new", handle, Silence()) as path:
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StoreError, match="exists"):
        async with control_server(path.parent.parent / "file", handle, Silence()):
            pass
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(StoreError, match="shorter state_dir"):
        async with control_server(deep, handle, Silence()):
            pass


async def test_a_socket_that_another_daemon_answers_at_is_left_to_it(tmp_path: Path) -> None:
    """Else the commands for the one would reach the other."""
    async with control_server(tmp_path, handle, Silence()) as path:
        with pytest.raises(StoreLocked, match="is the state_dir of another daemon that runs"):
            async with control_server(tmp_path, handle, Silence()):
                pass
        assert await spoken(path, {"command": "count", "args": {"to": 0}}) == [{"ok": 0}]
    async with control_server(tmp_path, handle, Silence()):
        pass


async def answered(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text.split(" ")[1]


async def test_health_says_what_is_the_case() -> None:
    state = {"healthy": True, "ready": False}

    async def ready() -> bool:
        return state["ready"]

    async with metrics_server(
        "127.0.0.1:0", elsewhere=False, exposition=lambda: b"", healthy=lambda: state["healthy"], ready=ready
    ) as port:
        assert [await answered(port, path) for path in ("/healthz", "/readyz", "/metrics", "/x")] == [
            "200",
            "503",
            "200",
            "404",
        ]
        state.update(healthy=False, ready=True)
        assert [await answered(port, path) for path in ("/healthz", "/readyz")] == ["503", "200"]


async def test_who_asks_too_early_is_answered_once_the_engine_has_begun() -> None:
    begun = asyncio.Event()

    async def ready() -> bool:
        return True

    async def begin() -> None:
        await begun.wait()

    async with metrics_server(
        "127.0.0.1:0",
        elsewhere=False,
        exposition=lambda: b"",
        healthy=lambda: True,
        ready=ready,
        begin_after=begin,
    ) as port:
        early = asyncio.create_task(answered(port, "/healthz"))
        done, _ = await asyncio.wait((early,), timeout=0.05)
        assert not done
        begun.set()
        assert await early == "200"


async def test_others_are_not_served_by_accident() -> None:
    async def ready() -> bool:
        return True

    with pytest.raises(ConfigError, match="not loopback"):
        async with metrics_server(
            "0.0.0.0:0", elsewhere=False, exposition=lambda: b"", healthy=lambda: True, ready=ready
        ):
            pass
