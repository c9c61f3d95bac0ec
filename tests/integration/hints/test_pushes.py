"""Where marketplaces push their messages to: what anybody may send there, and what it does to the daemon."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.ebay import ADAPTER
from adapters.ebay.sandbox_push import Signer
from marketsync.errors import ConfigError, Retry
from marketsync.server import doorway
from marketsync.server.hints import Door, hints_server
from marketsync.server.rates import SOURCE_A_SECOND
from tests.integration.hints.rig import MARKET, Rig, at_work

TOKEN = "canary-token_of-thirty-two-letters-or-more"
ENDPOINT = "https://hints.example/hints/market"
SETTINGS = {"hints_endpoint": ENDPOINT}
LATENCY_SECONDS = 0.05
# 100,000 calls a day, evenly.
POLL_BUDGET_SECONDS = 0.88
FLOOD = """
import collections, socket, sys, time
port, told, end = int(sys.argv[1]), collections.Counter(), time.monotonic() + 8
wanted = b"POST /hints/market HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 2\\r\\n\\r\\n{}"
while sum(told.values()) < 5000 and time.monotonic() < end:
    held = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(50)]
    for one in held:
        one.sendall(wanted)
    for one in held:
        try:
            told[one.recv(100)[9:12].decode()] += 1
        except ConnectionError:
            told["cut"] += 1
        one.close()
print(sum(told.values()), *sorted(told))
"""


class Gate:
    """The daemon with its listener, and eBay's key to sign with."""

    def __init__(self, rig: Rig, port: int) -> None:
        self.rig, self.port = rig, port
        self.signer = Signer()
        self.signer.publish(rig.side.sandbox.world)

    async def push(self, body: bytes, signature: str | None = None, path: str = "/hints/market") -> int:
        signed = self.signer.header(body) if signature is None else signature
        return (await asked(self.port, "POST", path, body, f"X-EBAY-SIGNATURE: {signed}"))[0]

    def refused(self, status: int) -> float:
        found = self.rig.ear.metrics.value("marketsync_hints_refused_total", {"status": str(status)})
        return found or 0.0


@asynccontextmanager
async def gate(folder: Path, **connection: object) -> AsyncIterator[Gate]:
    daemon = {"hints_listen": "127.0.0.1:9465"}
    async with (
        at_work(
            folder, ADAPTER, SETTINGS, secrets={"hints_token": TOKEN}, daemon=daemon, **connection
        ) as rig,
        listener(rig, dict(rig.assembly.daemon.hints)) as port,
    ):
        yield Gate(rig, port)


@asynccontextmanager
async def listener(rig: Rig, doors: dict[Any, Door]) -> AsyncIterator[int]:
    clock = rig.assembly.core.clock
    async with hints_server("127.0.0.1:0", doors, elsewhere=False, clock=clock, observer=rig.ear) as port:
        yield port


async def asked(port: int, method: str, path: str, body: bytes = b"", *headers: str) -> tuple[int, bytes]:
    """Status and body of the answer; it may come before all is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    try:
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        return await answer(reader)
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    try:
        text = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        text = b""
    return int(head.split(b" ")[1]), text


def about(order_id: str, number: int = 1) -> bytes:
    notification = {"notificationId": str(number), "data": {"orderId": order_id}}
    return json.dumps({"metadata": {"topic": "ORDER_CONFIRMATION"}, "notification": notification}).encode()


@pytest.mark.failure(28)
async def test_an_order_is_read_within_seconds_of_ebay_s_push(tmp_path: Path) -> None:
    """Its list would not show it for a minute. Told again, or about nothing, it is taken and asks for nothing."""
    async with gate(tmp_path) as at:
        order_id = at.rig.buy()
        assert await at.push(about(order_id)) == 204
        assert await at.rig.until_held(order_id) < 10.0
        reads = at.rig.wire.sent.count("getOrder")
        assert await at.push(about(order_id)) == 204
        assert await at.push(b'{"notification":{"data":{"username":"example"}}}') == 204
        assert await at.push(b"[]") == 204
        assert [at.rig.outcomes(x) for x in ("asked", "repeated", "other", "unreadable")] == [1, 1, 1, 1]
        await at.rig.assembly.core.clock.sleep(0.1)
        assert at.rig.wire.sent.count("getOrder") == reads
        assert at.rig.ear.metrics.value("marketsync_hint_silence_seconds", {"connection": MARKET}) is not None


async def test_ebay_s_challenge_is_answered(tmp_path: Path) -> None:
    async with gate(tmp_path) as at:
        status, body = await asked(at.port, "GET", "/hints/market?challenge_code=a8628072")
        expected = hashlib.sha256(f"a8628072{TOKEN}{ENDPOINT}".encode()).hexdigest()
        assert (status, json.loads(body)) == (200, {"challengeResponse": expected})
        assert (await asked(at.port, "GET", "/hints/market"))[0] == 400


@pytest.mark.failure(29)
async def test_what_is_forged_too_large_or_misdirected_is_refused_and_never_written_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with gate(tmp_path) as at:
        body = about(at.rig.buy()).replace(b"ORDER_CONFIRMATION", b"canary-body")
        assert await at.push(body, "") == 412
        assert await at.push(body + b" ", at.signer.header(body)) == 412
        assert await at.push(b"canary-body" * 1_000_000) == 413
        chunked = "Transfer-Encoding: chunked"
        endless = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        assert (await streamed(at.port, chunked, endless * 17))[0] == 413
        assert (await streamed(at.port, chunked, b"canary-body, no number\r\n"))[0] == 400
        assert await at.push(body, path="/hints/nobody") == 404
        assert await at.push(body, path="/market") == 404
        assert (await asked(at.port, "DELETE", "/hints/market"))[0] == 405
        assert [at.refused(x) for x in (412, 413, 404, 405)] == [2, 2, 2, 1]
        assert at.rig.outcomes("forged") == 2
        assert at.rig.outcomes("asked") == 0
        shown = "".join(at.rig.ear.said) + at.rig.ear.metrics.exposition().decode() + caplog.text
    assert "canary" not in shown + "".join(capfd.readouterr())


async def streamed(port: int, header: str, body: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"POST /hints/market HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode() + body)
        return await answer(reader)
    finally:
        writer.close()


async def test_while_the_key_can_not_be_had_ebay_is_asked_to_come_again(tmp_path: Path) -> None:
    async with gate(tmp_path) as at:
        order_id = at.rig.buy()
        at.rig.assembly.network.marketplaces[MARKET].gate.pause("a person said so")
        assert await at.push(about(order_id)) == 503
        at.rig.assembly.network.marketplaces[MARKET].gate.resume()
        at.rig.wire.down.append("getPublicKey")
        assert await at.push(about(order_id)) == 503
        assert at.rig.outcomes("unreachable") == 2


@pytest.mark.failure(29)
async def test_a_flood_is_refused_and_holds_up_neither_the_loop_nor_the_poller(tmp_path: Path) -> None:
    """How long the loop keeps a task waiting is measured by the processor's time, which others on this machine do not share;
    by the wall's, nine of ten times."""
    async with gate(tmp_path, poll_seconds=0.2) as at:
        assert (await asked(at.port, "GET", "/"))[0] == 404
        polls = at.rig.wire.sent.count("getOrders")
        gc.collect()
        gc.freeze()
        flood = subprocess.Popen(  # noqa: ASYNC220 - another process, that shares no time of the loop's
            [sys.executable, "-c", FLOOD, str(at.port)], stdout=subprocess.PIPE, text=True
        )
        busy, waited, began = [], [], time.monotonic()
        while flood.poll() is None:
            work, wall = time.thread_time(), time.monotonic()
            await asyncio.sleep(0.001)
            busy.append(time.thread_time() - work)
            waited.append(time.monotonic() - wall)
        lasted = time.monotonic() - began
        gc.unfreeze()
        sent, *told = flood.communicate()[0].split()
        assert int(sent) >= 1000
        assert set(told) <= {"412", "429", "503", "cut"}
        assert at.refused(429) > at.refused(412)
        assert max(busy) < LATENCY_SECONDS
        assert sorted(waited)[len(waited) * 9 // 10] < LATENCY_SECONDS
        # As many as the day's budget lets through meanwhile, but for those at its edges.
        assert at.rig.wire.sent.count("getOrders") - polls >= max(2, int(lasted / POLL_BUDGET_SECONDS) - 2)
        await at.rig.assembly.core.clock.sleep(1.1)
        order_id = at.rig.buy()
        assert await at.push(about(order_id)) == 204
        await at.rig.until_held(order_id)


async def test_one_source_s_storm_leaves_room_for_the_others(tmp_path: Path) -> None:
    """Behind a proxy the last entry of X-Forwarded-For is the source; the ones before it are the caller's own words."""
    async with gate(tmp_path) as at:
        storm = [
            (await asked(at.port, "POST", "/hints/market", b"{}", f"X-Forwarded-For: 198.51.100.{n}, 203.0.113.7"))[0]
            for n in range(int(SOURCE_A_SECOND * 2))
        ]  # fmt: skip
        assert storm[0] == 412
        assert 429 in storm
        assert (await asked(at.port, "POST", "/hints/market", b"{}", "X-Forwarded-For: 203.0.113.8"))[
            0
        ] == 412


async def test_who_sends_nothing_or_everything_slowly_loses_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "ROUND_SECONDS", 0.3)
    monkeypatch.setattr(doorway, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(doorway, "CONNECTIONS_MAX", 3)
    async with gate(tmp_path) as at:
        assert (await asked(at.port, "GET", "/"))[0] == 404
        idle = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(3)]
        assert (await asked(at.port, "GET", "/"))[0] == 503
        for reader, writer in idle:
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
        assert (await streamed(at.port, "Content-Length: 9", b"slow"))[0] == 503


async def test_an_adapter_s_defect_is_answered_and_named_and_no_more(tmp_path: Path) -> None:
    class Broken:
        def answer_challenge(self, query: Any) -> bytes | None:
            raise Retry("canary")

        async def pushed(self, headers: Any, body: bytes) -> Any:
            raise RuntimeError("canary")

    async with gate(tmp_path) as at, listener(at.rig, {"market": Broken()}) as port:
        assert (await asked(port, "POST", "/hints/market", b"{}"))[0] == 500
        assert (await asked(port, "GET", "/hints/market"))[0] == 500
        assert "hints.request_failed {'error': 'RuntimeError'}" in at.rig.ear.said
        assert "canary" not in "".join(at.rig.ear.said)


@pytest.mark.parametrize(
    ("settings", "token", "listen", "text"),
    [
        (SETTINGS, None, "127.0.0.1:9465", "pushes need both"),
        ({"hints_endpoint": "http://hints.example"}, TOKEN, "127.0.0.1:9465", "https address"),
        ({}, TOKEN, "127.0.0.1:9465", "pushes need both"),
        ({"hints_endpoint": "https://hints.example/hints/ebay"}, TOKEN, "127.0.0.1:9465", "/hints/market"),
        (SETTINGS, "canary", "127.0.0.1:9465", "32 to 80 letters"),
        (SETTINGS, TOKEN, "", "daemon.hints_listen names no address"),
    ],
)
async def test_what_is_configured_by_halves_is_named(
    tmp_path: Path, settings: dict[str, str], token: str | None, listen: str, text: str
) -> None:
    secrets = {} if token is None else {"hints_token": token}
    with pytest.raises(ConfigError, match=text) as raised:
        async with at_work(tmp_path, ADAPTER, settings, secrets=secrets, daemon={"hints_listen": listen}):
            pass
    assert str(raised.value).startswith("connections.market")
    assert "canary" not in str(raised.value)
