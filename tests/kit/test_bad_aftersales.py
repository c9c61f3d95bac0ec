"""Money that goes back twice, and a cancel that never was: each is found, by the checks that are made for it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from adapters.amazon import ADAPTER as AMAZON
from adapters.ebay import ADAPTER as EBAY
from marketsync.domain.deliveries import Absent, Found, Kind, Record
from marketsync.domain.unmarked import Unmarked
from marketsync.errors import InDoubt, Park, ReadFailed
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from marketsync.ports import StepDone
from tests.kit.bad import Around, bad


class NeverLooks(Around):
    """A lost answer is a refusal: it is asked for again."""

    async def probe(self, payload: Any, step: int, checkpoint: str, span: Any) -> Any:
        if step:
            return await self.inner.probe(payload, step, checkpoint, span)
        return Absent(span.since.timestamp(), span.now.timestamp())


class AsksAgainItself(Around):
    """What was not answered is sent once more at once, as another request of its own."""

    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except InDoubt:
            return await self.inner.send(payload, *more)


class TakesAnyFeedForIts(Around):
    """The oldest feed of the sort is the one, whoever made it."""

    async def probe(self, *more: Any) -> Any:
        seen = await self.inner.probe(*more)
        if isinstance(seen, Unmarked) and seen.remote_ids:
            return Found((Record(seen.remote_ids[-1], seen.step),))
        return seen


class CallsRefusalsDone(Around):
    """The marketplace says no, and it is called done."""

    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except Park:
            return StepDone(payload.order_id, '{"remote_id":""}')


class NeverReadsTheReport(Around):
    """A feed that is over was carried out."""

    async def poll(self, payload: Any, step: int, receipt: str) -> Any:
        try:
            return await self.inner.poll(payload, step, receipt)
        except (Park, ReadFailed):
            return StepDone()


class DoneWhenTaken(Around):
    """A feed that was taken was carried out."""

    async def poll(self, payload: Any, step: int, receipt: str) -> Any:
        return StepDone()


class GivesAllBack(Around):
    """A sum is no matter: money goes back for the whole line."""

    async def send(self, payload: Any, *more: Any) -> Any:
        (line,) = payload.lines
        return await self.inner.send(replace(payload, lines=(replace(line, amount=line.amount * 2),)), *more)


class RefusesTheEcho(Around):
    """What is cancelled can't be cancelled: a person is asked."""

    async def send(self, payload: Any, step: int, checkpoint: str, departure: Any) -> Any:
        span = type("Span", (), {})()
        if step == 0 and isinstance(await self.inner.probe(payload, 0, "", span), Found):
            raise Park("it is cancelled already")
        return await self.inner.send(payload, step, checkpoint, departure)


CANCEL, REFUND = Kind.CANCEL_SALE, Kind.REFUND


@pytest.mark.parametrize(
    "spec, kind, wrong, expected",
    [
        (AMAZON, REFUND, NeverLooks, {"lost", "twice"}),
        (AMAZON, REFUND, AsksAgainItself, {"lost", "twice"}),
        (AMAZON, REFUND, TakesAnyFeedForIts, {"twice"}),
        (AMAZON, REFUND, NeverReadsTheReport, {"lost", "too_much"}),
        (AMAZON, REFUND, DoneWhenTaken, {"lost", "too_much", "twice"}),
        (AMAZON, REFUND, GivesAllBack, {"lost", "too_much", "twice"}),
        (AMAZON, CANCEL, DoneWhenTaken, {"lost", "wished", "decided_otherwise"}),
        (AMAZON, CANCEL, NeverReadsTheReport, {"lost", "wished", "decided_otherwise"}),
        (EBAY, CANCEL, CallsRefusalsDone, {"lost", "wished", "decided_otherwise"}),
        (EBAY, CANCEL, NeverLooks, {"lost", "wished"}),
        (EBAY, CANCEL, RefusesTheEcho, {"lost", "wished", "twice"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_bad_aftersales_are_found(
    spec: AdapterSpec, kind: Kind, wrong: type[Around], expected: set[str]
) -> None:
    reds = scorecard(bad(spec, writers={kind: wrong}), [kind.value]).reds
    assert set(reds) == {f"{kind.value}.{check}" for check in expected}
