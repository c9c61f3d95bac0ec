"""The world over real HTTP: what the kill tests and the demo stand on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from marketsync.errors import InDoubt, ReadFailed
from marketsync.http.transport import AiohttpTransport
from marketsync.ops.clock import ScaledClock, SystemClock
from marketsync.ports import Request, Response
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice, Rates
from marketsync.sandbox.server import serve
from tests.simulation.test_world import a_world, market, sell

KEY = "sandbox-key"


async def _ask(rates: Rates, *, method: str = "GET", path: str = "/api/orders") -> tuple[object, str]:
    world = a_world()
    order_id = sell(world, accept=False)
    clock = ScaledClock(SystemClock(), 20.0, at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
    transport = AiohttpTransport(clock)
    async with serve(world, clock, Dice(rates, Chance(3))) as addresses:
        body = b'{"order_lines":[{"id":"%s-1","accepted":true}]}' % order_id.encode()
        request = Request(
            "alpha", "call", method, addresses["alpha"] + path.format(id=order_id),
            headers=(("Authorization", KEY),), body=body if method == "PUT" else b"", write=method == "PUT",
        )  # fmt: skip
        try:
            result: object = await transport.send(request)
        except (InDoubt, ReadFailed) as error:
            result = error
        await transport.close()
    return result, market(world).sandbox.world.orders[order_id].state


async def test_a_far_side_answers_on_loopback_with_its_own_date() -> None:
    result, _ = await _ask(Rates())
    assert isinstance(result, Response)
    assert result.status == 200
    assert b"SBX-00001-A" in result.body
    assert result.headers["date"].startswith("Mon, 02 Mar 2026 09:00")


@pytest.mark.failure(32)
@pytest.mark.parametrize(
    ("rates", "state"),
    [
        (Rates(answer_lost=1.0), "WAITING_DEBIT"),
        (Rates(request_lost=1.0), "WAITING_ACCEPTANCE"),
    ],
)
async def test_a_cut_says_nothing_of_what_was_done(rates: Rates, state: str) -> None:
    result, found = await _ask(rates, method="PUT", path="/api/orders/{id}/accept")
    assert isinstance(result, InDoubt)
    assert found == state


@pytest.mark.failure(33)
async def test_a_5xx_may_come_after_the_effect() -> None:
    result, found = await _ask(Rates(error_after=1.0), method="PUT", path="/api/orders/{id}/accept")
    assert isinstance(result, Response)
    assert result.status >= 500
    assert found == "WAITING_DEBIT"


async def test_a_cut_read_has_failed() -> None:
    result, _ = await _ask(Rates(cut=1.0))
    assert isinstance(result, ReadFailed)
