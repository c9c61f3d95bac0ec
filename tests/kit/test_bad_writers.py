"""Each bug of the field is found, by the check that is made for it, and by no other one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.domain.deliveries import Absent, Kind
from marketsync.errors import InDoubt, Park, Retry
from marketsync.http import AdapterSpec
from marketsync.kit import scorecard
from marketsync.ports import StepDone
from tests.kit.bad import Around, bad


def reds(spec: AdapterSpec, *only: str) -> set[str]:
    return set(scorecard(spec, only).reds)


class NeverLooks(Around):
    """OLK 2.4-1, MIR 2.5-2: a create that is recorded afterwards, and never looked for."""

    async def probe(self, payload: Any, step: int, checkpoint: str, span: Any) -> Any:
        return Absent(span.since.timestamp(), span.now.timestamp())


class SwallowsRefusals(Around):
    """MIR 2.5-4: a 4xx is taken for done."""

    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except (Park, InDoubt) as error:
            if isinstance(error, InDoubt) and "state" not in str(error):
                raise
            return StepDone(payload.order_id)


class TakesAnythingForDone(Around):
    """A 2xx that can't be read is taken for done."""

    async def send(self, payload: Any, step: int, checkpoint: str, departure: Any) -> Any:
        try:
            return await self.inner.send(payload, step, checkpoint, departure)
        except InDoubt:
            return StepDone(getattr(payload, "order_id", "1"), checkpoint or '{"remote_id":"11"}')


class ShortOrders(Around):
    """FRA 2-6: the last line of an order is left out."""

    async def send(self, payload: Any, *more: Any) -> Any:
        return await self.inner.send(self.short(payload), *more)

    async def probe(self, payload: Any, *more: Any) -> Any:
        return await self.inner.probe(self.short(payload), *more)

    def short(self, payload: Any) -> Any:
        lines = payload.order.lines[:-1] or payload.order.lines
        total = sum((x.line_total for x in lines), Decimal(0))
        return replace(
            payload, order=replace(payload.order, lines=lines, total=total), lines=payload.lines[: len(lines)]
        )


class SendsOnlyWhatIsNew(Around):
    """OLK 2.4-5: what was sent once is not sent again."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.sent: list[Any] = []

    async def send(self, payload: Any, *more: Any) -> Any:
        if payload.items in self.sent:
            return StepDone(checkpoint='{"import_id":"1","errors":false}')
        self.sent.append(payload.items)
        return await self.inner.send(payload, *more)


class FirstTrackingOnly(Around):
    """MIR 2.5-4: the second parcel of an order is not told."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.told: dict[str, str] = {}

    async def send(self, payload: Any, *more: Any) -> Any:
        known = self.told.setdefault(payload.order_id, payload.shipment.shipment_id)
        if known != payload.shipment.shipment_id:
            return StepDone(payload.order_id)
        return await self.inner.send(payload, *more)


class CancelsAnything(Around):
    """MIR 2.5-5: a cancel that the shop does not take is called done."""

    async def send(self, payload: Any, *more: Any) -> Any:
        try:
            return await self.inner.send(payload, *more)
        except Park:
            return StepDone(payload.remote_id)


class SendsAgainByItself(Around):
    """FRA 2-5: whatever fails is sent again a second later."""

    async def send(self, payload: Any, *more: Any) -> Any:
        for _ in range(4):
            try:
                return await self.inner.send(payload, *more)
            except (Retry, InDoubt):
                continue
        return await self.inner.send(payload, *more)


class TakesItsTime(Around):
    """The deadline of a departure is its own to set."""

    async def send(self, payload: Any, step: int, checkpoint: str, departure: Any) -> Any:
        return await self.inner.send(
            payload, step, checkpoint, replace(departure, send_by=departure.send_by + 60.0)
        )


class CountsItsOwn(Around):
    """FRA 2-9: units that the shop has given to our orders are added to its figure."""

    async def read_stock(self, articles: Any) -> Any:
        return [replace(figure, value=figure.value + 2) for figure in await self.inner.read_stock(articles)]


@pytest.mark.parametrize(
    "spec, kind, wrong, expected",
    [
        (WOOCOMMERCE, Kind.CREATE, NeverLooks, {"create.lost", "create.scan", "create.foreign", "create.two_records"}),
        (MIRAKL, Kind.CONFIRM, SwallowsRefusals, {"confirm.lost", "confirm.lost@parcels", "confirm.refused", "confirm.refused@parcels", "confirm.carrier@registered"}),
        (MIRAKL, Kind.ACCEPT, TakesAnythingForDone, {"accept.lost"}),
        (MIRAKL, Kind.CONFIRM, TakesAnythingForDone, {"confirm.lost", "confirm.lost@parcels", "confirm.refused"}),
        (WOOCOMMERCE, Kind.CREATE, TakesAnythingForDone, {"create.lost", "create.scan"}),
        (WOOCOMMERCE, Kind.CREATE, ShortOrders, {"create.whole", "create.unknown_article", "create.without_effect"}),
        (WOOCOMMERCE, Kind.CREATE, SendsAgainByItself, {"create.lost", "create.scan", "create.foreign"}),
        (WOOCOMMERCE, Kind.CANCEL, CancelsAnything, {"cancel.lost", "cancel.shipped"}),
        (MIRAKL, Kind.ACCEPT, SendsAgainByItself, {"accept.lost"}),
        (MIRAKL, Kind.CONFIRM, TakesItsTime, {"confirm.lost", "confirm.lost@parcels"}),
        (WOOCOMMERCE, Kind.CREATE, TakesItsTime, {"create.lost"}),
        (MIRAKL, Kind.STOCK, SendsOnlyWhatIsNew, {"stock.lost", "stock.absolute"}),
        (MIRAKL, Kind.CONFIRM, FirstTrackingOnly, {"confirm.each_parcel", "confirm.each_parcel@parcels"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_bad_writer_is_found(
    spec: AdapterSpec, kind: Kind, wrong: type[Around], expected: set[str]
) -> None:
    assert reds(bad(spec, writers={kind: wrong}), kind.value) == expected
    assert reds(spec, kind.value) == set()


def test_figures_that_are_made_up_are_found() -> None:
    card = scorecard(bad(WOOCOMMERCE, CountsItsOwn), ["figures"])
    assert card.reds == ("figures.read",)
