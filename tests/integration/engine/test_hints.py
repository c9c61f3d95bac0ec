"""Hints hurry a reading along; whatever is wrong with them changes nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from marketsync.domain.ids import ConnectionId, OrderId
from marketsync.engine.byid import ASKED_MAX
from marketsync.engine.hints import Hints
from marketsync.errors import Malformed, Retry
from marketsync.ports import Hint
from tests.integration.engine.bench import Bench, Life
from tests.simulation.life import Ear

ALPHA = ConnectionId("alpha")


class Queue:
    """Gives what is put into it; `broken`: it can't be asked."""

    def __init__(self) -> None:
        self.waiting: list[Hint] = []
        self.done_with: list[Hint] = []
        self.broken = False

    async def receive(self) -> Sequence[Hint]:
        if self.broken:
            raise Retry("the queue can't be asked")
        given, self.waiting = self.waiting, []
        return given

    async def done(self, hints: Sequence[Hint]) -> None:
        self.done_with += hints

    async def close(self) -> None: ...


def _read_hint(message: bytes) -> tuple[OrderId, ...]:
    if not message.startswith(b"order "):
        raise Malformed("$", "no order is named")
    return (OrderId(message.decode().removeprefix("order ")),)


def hinted(bench: Bench, life: Life) -> tuple[Queue, Hints]:
    """The marketplace's hints, taken note of by the daemon's own part for them."""
    sweeper = life.daemon.sweepers[ALPHA]
    queue, adapter = Queue(), sweeper._link.adapter
    adapter.read_hint = _read_hint  # type: ignore[attr-defined]

    class Link:
        name, hints = ALPHA, queue

    Link.adapter = adapter  # type: ignore[attr-defined]
    link: Any = Link()
    return queue, Hints(life.daemon.core, link, sweeper.ask)


@pytest.mark.failure(28)
def test_a_hint_brings_an_order_before_its_list_does(bench: Bench) -> None:
    """Doubled, of an order that nobody knows, and of nothing at all: what is read is what the marketplace holds."""

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        queue, hints = hinted(bench, life)
        await life.sleep(30)
        order = bench.buy(("SKU-1", 1))
        messages = [f"order {order}", f"order {order}", "order SBX-99999-A", "garbage", ""]
        queue.waiting = [Hint(x.encode(), str(n)) for n, x in enumerate(messages)]
        await hints.round()
        await life.until(lambda: order in bench.held(), 61)
        assert [x.receipt for x in queue.done_with] == ["0", "1", "2", "3", "4"]
        assert bench.held() == {order} or list(bench.held()) == [order]

    bench.live(story)


@pytest.mark.failure(30)
def test_a_queue_in_trouble_stops_nothing_and_its_silence_is_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, float] = {}
    monkeypatch.setattr(Ear, "gauge", lambda _, metric, value, **__: shown.update({metric: value}))

    async def story(life: Life) -> None:
        await life.until(lambda: life.daemon.coverage_until(ALPHA) is not None)
        queue, hints = hinted(bench, life)
        await hints.round()
        queue.broken = True
        await life.sleep(900)
        assert await hints.round() < 0
        assert shown["marketsync_hint_silence_seconds"] == pytest.approx(900, abs=1)
        order = bench.buy(("SKU-1", 1))
        await life.until(lambda: order in bench.held(), 180)

    bench.live(story)


def test_a_storm_of_hints_is_bounded(bench: Bench) -> None:
    async def story(life: Life) -> None:
        sweeper = life.daemon.sweepers[ALPHA]
        for number in range(ASKED_MAX + 500):
            sweeper._by_id.ask(OrderId(f"FORGED-{number}"))
        assert len(sweeper._by_id._asked) == ASKED_MAX

    bench.live(story)
