"""Each bug of the field is found, by the check that is made for it, and by no other one."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.mirakl import ADAPTER as MIRAKL
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.domain.deliveries import Absent, Kind
from marketsync.errors import InDoubt, Park
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


@pytest.mark.parametrize(
    "spec, kind, wrong, expected",
    [
        (WOOCOMMERCE, Kind.CREATE, NeverLooks, {"create.lost"}),
        (MIRAKL, Kind.CONFIRM, SwallowsRefusals, {"confirm.lost", "confirm.lost@parcels", "confirm.refused", "confirm.refused@parcels", "confirm.carrier@registered"}),
        (MIRAKL, Kind.ACCEPT, TakesAnythingForDone, {"accept.lost"}),
        (MIRAKL, Kind.CONFIRM, TakesAnythingForDone, {"confirm.lost", "confirm.lost@parcels", "confirm.refused"}),
        (WOOCOMMERCE, Kind.CREATE, TakesAnythingForDone, {"create.lost"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_bad_writer_is_found(
    spec: AdapterSpec, kind: Kind, wrong: type[Around], expected: set[str]
) -> None:
    assert reds(bad(spec, writers={kind: wrong}), kind.value) == expected
    assert reds(spec, kind.value) == set()
