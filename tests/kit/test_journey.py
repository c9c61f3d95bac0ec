"""What a contract is held against calls every operation, in a shop too, of which no description is at hand."""

from __future__ import annotations

import pytest

from adapters.amazon import ADAPTER as AMAZON
from adapters.woocommerce import ADAPTER as WOOCOMMERCE
from marketsync.http import AdapterSpec
from marketsync.kit.bench import Fresh
from marketsync.kit.journey import play
from marketsync.kit.quality import of


@pytest.mark.parametrize("spec", [AMAZON, WOOCOMMERCE], ids=lambda spec: spec.name)
async def test_every_operation_of_the_plan_is_played(spec: AdapterSpec) -> None:
    bench = await play(Fresh(spec, of(spec)))
    called = {exchange.request.operation for exchange in bench.wire.exchanges}
    assert called == {operation.name for operation in bench.plan.operations}
    assert all(exchange.response.status < 500 for exchange in bench.wire.exchanges)
