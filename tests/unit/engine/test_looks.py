"""How long a far side may work on what it took."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from marketsync.domain.deliveries import Kind, State, StepSpec, WriteClass, new_delivery
from marketsync.engine.looks import overdue

FAST = (StepSpec("import", WriteClass.UPSERT, lands_within_seconds=90.0, send_by_seconds=10.0),)
SLOW = (StepSpec("feed", WriteClass.UPSERT, lands_within_seconds=7200.0, send_by_seconds=10.0),)
LEFT_AT = 1000.0


@pytest.mark.parametrize(
    ("steps", "failing", "allowed"),
    [
        (FAST, False, 3600.0),
        (SLOW, False, 7210.0),
        # What can't be asked about may have ended long ago: a day more.
        (FAST, True, 3600.0 + 86400.0),
    ],
)
def test_it_is_believed_for_an_hour_or_for_as_long_as_it_lands(
    steps: tuple[StepSpec, ...], failing: bool, allowed: float
) -> None:
    queued = new_delivery(
        delivery_id=1, merchant="main", kind=Kind.STOCK, target="alpha", subject="batch:1", order_ref="stock:alpha",
        due_at=0.0, created_seq=1,
    )  # fmt: skip
    row = replace(queued, state=State.WAITING, last_departure_at=LEFT_AT)
    assert not overdue(row, steps, LEFT_AT + allowed, failing=failing)
    assert overdue(row, steps, LEFT_AT + allowed + 1, failing=failing)
