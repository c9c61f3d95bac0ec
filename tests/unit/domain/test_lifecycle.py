"""What one revision asks for, and when two revisions are the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from marketsync.domain.ids import ConnectionId, LineId, MerchantId, OrderId, OrderKey, Sku
from marketsync.domain.lifecycle import (
    FINISHED,
    Switches,
    Want,
    fingerprint,
    late,
    problem,
    shop_fingerprint,
    still_open,
    takes_stock,
    want,
)
from marketsync.domain.orders import (
    Address,
    Fulfilment,
    Order,
    OrderLine,
    Party,
    Phase,
    Tax,
    TaxCollector,
    phase,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(hours=1)
KEY = OrderKey(MerchantId("main"), ConnectionId("alpha"), OrderId("A-1"))
HOME = Address("Erika", "Beispiel", "1 Example Street", "Exampleton", "00001", "DE")
LINE = OrderLine(LineId("L1"), Sku("SKU-1"), 2, Decimal("20.00"))
ORDER = Order(KEY, AT, AT, "EUR", Decimal("20.00"), prices_include_tax=True, lines=(LINE,), ship_to=HOME)
IMPORTS, BOTH = Switches(import_fulfilled=True), Switches(import_fulfilled=True, fulfilled_touch_stock=True)


def order(**changes: Any) -> Order:
    return replace(ORDER, **changes)


def units(**changes: Any) -> tuple[OrderLine, ...]:
    return (replace(LINE, **changes),)


OF_PHASE = {
    Phase.PENDING: order(),
    Phase.TO_ACCEPT: order(awaits_acceptance=True),
    Phase.ACCEPTED: order(accepted=True),
    Phase.READY: order(paid=True),
    Phase.PARTLY_SHIPPED: order(paid=True, lines=units(shipped=1)),
    Phase.SHIPPED: order(paid=True, lines=units(shipped=2)),
    Phase.CLOSED: order(paid=True, closed=True),
    Phase.CANCELLED: order(lines=units(cancelled=2)),
    Phase.REFUSED: order(lines=units(refused=2)),
    Phase.REFUNDED: order(lines=units(refunded=2)),
}

# phase: wanted of what is not in the shop, of what is or may be there, and of what the marketplace ships itself
WANTED = {
    Phase.PENDING: (Want.NOTHING, Want.CREATE, Want.NOTHING),
    Phase.TO_ACCEPT: (Want.ACCEPT, Want.ACCEPT, Want.ACCEPT),
    Phase.ACCEPTED: (Want.NOTHING, Want.CREATE, Want.NOTHING),
    Phase.READY: (Want.CREATE, Want.CREATE, Want.CREATE),
    Phase.PARTLY_SHIPPED: (Want.HOLD, Want.CREATE, Want.CREATE),
    Phase.SHIPPED: (Want.HOLD, Want.CREATE, Want.CREATE),
    Phase.CLOSED: (Want.HOLD, Want.CREATE, Want.CREATE),
    Phase.CANCELLED: (Want.CANCEL, Want.CANCEL, Want.CANCEL),
    Phase.REFUSED: (Want.CANCEL, Want.CANCEL, Want.CANCEL),
    Phase.REFUNDED: (Want.NOTHING, Want.NOTHING, Want.NOTHING),
}


@pytest.mark.parametrize("of", Phase)
def test_what_is_wanted_of_each_phase(of: Phase) -> None:
    stated, (unseen, there, theirs) = OF_PHASE[of], WANTED[of]
    assert phase(stated) is of
    assert want(stated, pushed=False, switches=Switches()) is unseen
    assert want(stated, pushed=True, switches=Switches()) is there
    fulfilled = replace(stated, fulfilment=Fulfilment.MARKETPLACE)
    if of not in (Phase.PENDING, Phase.ACCEPTED):
        assert want(fulfilled, pushed=False, switches=IMPORTS) is theirs


@pytest.mark.parametrize("of", Phase)
@pytest.mark.parametrize("pushed", [False, True])
def test_what_the_marketplace_ships_is_not_ours_unless_it_is_asked_for(of: Phase, pushed: bool) -> None:
    fulfilled = replace(OF_PHASE[of], fulfilment=Fulfilment.MARKETPLACE)
    assert want(fulfilled, pushed=pushed, switches=Switches(fulfilled_touch_stock=True)) is Want.NOTHING


def test_fulfilled_by_marketplace_touches_no_stock_and_has_no_address() -> None:
    fulfilled = order(paid=True, fulfilment=Fulfilment.MARKETPLACE, ship_to=None)
    assert not takes_stock(fulfilled, Switches())
    assert not takes_stock(fulfilled, IMPORTS)
    assert takes_stock(fulfilled, BOTH)
    assert want(fulfilled, pushed=False, switches=IMPORTS) is Want.CREATE


@pytest.mark.parametrize("switches", [Switches(), IMPORTS, BOTH])
def test_what_we_ship_always_takes_stock(switches: Switches) -> None:
    assert takes_stock(ORDER, switches)


def test_pending_has_no_price_and_is_completed_later() -> None:
    """Without a price and an address it is only held; the next revision completes it."""
    pending = order(total=Decimal(0), lines=units(line_total=Decimal(0)), ship_to=None)
    assert want(pending, pushed=False, switches=Switches()) is Want.NOTHING
    assert problem(pending) is None
    completed = order(paid=True, updated_at=LATER)
    assert want(completed, pushed=False, switches=Switches()) is Want.CREATE
    assert fingerprint(pending) != fingerprint(completed)


@pytest.mark.parametrize("of", Phase)
def test_what_is_over_is_no_longer_open(of: Phase) -> None:
    assert still_open(OF_PHASE[of]) is (of not in FINISHED)


def test_an_order_is_late_after_its_date_while_something_is_left_to_ship() -> None:
    due = order(paid=True, ship_by=AT)
    assert late(due, LATER)
    assert not late(due, AT)
    assert not late(order(paid=True), LATER)
    assert not late(replace(due, lines=units(shipped=2)), LATER)
    assert late(replace(due, lines=units(shipped=1)), LATER)


@pytest.mark.failure(24)
@pytest.mark.parametrize(
    ("total", "text"),
    [
        ("20.01", "its parts do not add up to its total: +0.01 EUR"),
        ("18.50", "its parts do not add up to its total: -1.50 EUR"),
    ],
)
def test_a_difference_is_a_problem_that_a_person_sees(total: str, text: str) -> None:
    assert problem(order(total=Decimal(total))) == ("imbalance:alpha/A-1", text)


@pytest.mark.failure(24)
def test_rounding_and_balance_are_no_problem() -> None:
    assert problem(ORDER) is None
    assert problem(order(total=Decimal("20.004"))) is None


# Fingerprints

TAXES = (Tax("vat", Decimal("3.19"), Decimal(19)),)
OTHER_FIELDS: dict[str, Any] = {
    "key": replace(KEY, order_id=OrderId("A-2")),
    "created_at": LATER,
    "currency": "GBP",
    "total": Decimal("21.00"),
    "prices_include_tax": False,
    "lines": (LINE, LINE),
    "fulfilment": Fulfilment.MARKETPLACE,
    "fees": Decimal("1.00"),
    "awaits_acceptance": True,
    "accepted": True,
    "paid": True,
    "closed": True,
    "addressed": True,
    "accept_by": LATER,
    "ship_by": LATER,
    "buyer": Party("Erika Beispiel"),
    "ship_to": replace(HOME, street2="Back door"),
    "bill_to": HOME,
    "shipping_method": "express",
    "state_as_stated": "SHIPPING",
    "channel": "store-2",
    "cancel_asked": True,
}
OTHER_LINE_FIELDS: dict[str, Any] = {
    "line_id": LineId("L2"),
    "sku": Sku("SKU-2"),
    "quantity": 3,
    "line_total": Decimal("21.00"),
    "unit_price": Decimal("10.00"),
    "title": "Example",
    "shipping": Decimal("1.00"),
    "taxes": TAXES,
    "shipping_taxes": TAXES,
    "accepted": True,
    "cancelled": 1,
    "refused": 1,
    "shipped": 1,
    "refunded": 1,
    "returned": 1,
}
PRIVATE: list[tuple[str, Order]] = [
    *(
        (f"{owner}.{name}", order(**{owner: replace(HOME, **{name: "other"})}))
        for owner in ("ship_to", "bill_to")
        for name in HOME.__struct_fields__
    ),
    *(
        (f"buyer.{name}", order(buyer=replace(Party("x"), **{name: "other"})))
        for name in Party.__struct_fields__
    ),
]


@pytest.mark.failure(18)
@pytest.mark.parametrize("name", Order.__struct_fields__)
def test_the_fingerprint_moves_with_every_field_but_the_stamp(name: str) -> None:
    if name == "updated_at":
        assert fingerprint(order(updated_at=LATER)) == fingerprint(ORDER)
        return
    changed = order(**{name: OTHER_FIELDS[name]})
    assert changed != ORDER
    assert fingerprint(changed) != fingerprint(ORDER)


@pytest.mark.failure(18)
@pytest.mark.parametrize("name", OrderLine.__struct_fields__)
def test_the_fingerprint_moves_with_every_field_of_a_line(name: str) -> None:
    assert fingerprint(order(lines=units(**{name: OTHER_LINE_FIELDS[name]}))) != fingerprint(ORDER)


@pytest.mark.failure(18)
@pytest.mark.parametrize("changed", [x[1] for x in PRIVATE], ids=[x[0] for x in PRIVATE])
def test_the_fingerprint_moves_with_an_edit_of_the_buyers_data(changed: Order) -> None:
    assert fingerprint(changed) != fingerprint(ORDER)


def test_fingerprints_of_one_address_as_buyers_and_as_payers_differ() -> None:
    assert fingerprint(order(bill_to=HOME)) != fingerprint(order(ship_to=None, bill_to=HOME))


@pytest.mark.parametrize(
    "tax", [replace(TAXES[0], rate=None), replace(TAXES[0], collector=TaxCollector.MARKETPLACE)]
)
def test_the_fingerprint_moves_with_what_is_said_of_a_tax(tax: Tax) -> None:
    assert fingerprint(order(lines=units(taxes=(tax,)))) != fingerprint(order(lines=units(taxes=TAXES)))


def test_a_fingerprint_is_short_and_the_same_every_time() -> None:
    again = msgspec.json.decode(msgspec.json.encode(ORDER), type=Order)
    assert fingerprint(ORDER) == fingerprint(again)
    assert len(fingerprint(ORDER)) == 32


SHOP_SEES = {"currency", "total", "lines", "fees", "shipping_method"}
SHOP_SEES_OF_A_LINE = {
    "line_id", "sku", "quantity", "line_total", "shipping", "taxes", "shipping_taxes", "cancelled", "refused",
}  # fmt: skip


@pytest.mark.parametrize("name", [x for x in Order.__struct_fields__ if x != "updated_at"])
def test_the_shop_is_told_of_what_it_holds(name: str) -> None:
    """An accept, a debit or a parcel is no edit of the order in the shop; its private documents are judged as bytes."""
    changed = shop_fingerprint(order(**{name: OTHER_FIELDS[name]}), b"private")
    assert (changed != shop_fingerprint(ORDER, b"private")) is (name in SHOP_SEES)


@pytest.mark.parametrize("name", OrderLine.__struct_fields__)
def test_the_shop_is_told_of_what_it_holds_of_a_line(name: str) -> None:
    changed = shop_fingerprint(order(lines=units(**{name: OTHER_LINE_FIELDS[name]})), b"private")
    assert (changed != shop_fingerprint(ORDER, b"private")) is (name in SHOP_SEES_OF_A_LINE)


def test_the_shop_is_told_of_another_buyer_and_of_no_other_stamp() -> None:
    assert shop_fingerprint(ORDER, b"other") != shop_fingerprint(ORDER, b"private")
    assert shop_fingerprint(order(updated_at=LATER), b"private") == shop_fingerprint(ORDER, b"private")


def test_units_cancelled_or_never_ordered_are_one_thing_to_the_shop() -> None:
    fewer = shop_fingerprint(order(lines=units(quantity=1)), b"")
    assert fewer == shop_fingerprint(order(lines=units(quantity=2, cancelled=1)), b"")
