from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from marketsync.domain.aftersales import (
    RefundLine,
    RefundSale,
    Unacceptable,
    check_cancel,
    is_over,
    refund_line,
)
from marketsync.domain.deliveries import Absent, Found, Record, Unknown
from marketsync.domain.ids import LineId, OrderId, Sku
from marketsync.domain.orders import Fulfilment, Order, OrderLine
from marketsync.domain.unmarked import Unmarked, by_itself, told_apart
from tests.integration.store.examples import order as an_order

A, B = LineId("1"), LineId("2")


def order(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, **changes: Any) -> Order:
    """Two units of A at 20.00 and 5.00 shipping, one unit of B at 10.00; ready to be shipped."""
    lines = (
        OrderLine(A, Sku("TEA"), 2, Decimal("20.00"), shipping=Decimal("5.00")),
        OrderLine(B, Sku("MUG"), 1, Decimal("10.00")),
    )
    changed = (replace(lines[0], **(first or {})), replace(lines[1], **(second or {})))
    return replace(an_order(addressed=True), lines=changed, **changes)


SHIPPED = {"shipped": 2}


@pytest.mark.parametrize(
    ("made", "lines", "sent", "text"),
    [
        (order(SHIPPED, {"shipped": 1}), (), (), "only refunded"),
        (order(closed=True), (), (), "only refunded"),
        (order(SHIPPED), (), (), "line 1 is shipped: name the lines"),
        (order(), (), (B,), "line 2 is shipped: name the lines"),
        (order(), (A,), (A,), "line 1 is shipped"),
        (order({"cancelled": 2}, {"cancelled": 1}), (), (), "is cancelled already"),
        (order({"cancelled": 2}), (A,), (), "line 1 is cancelled already"),
        (order({"refunded": 2}, {"refunded": 1}), (), (), "is refunded already"),
        (order(), ("7",), (), "no line '7'; its lines are 1, 2"),
        (order(fulfilment=Fulfilment.MARKETPLACE), (), (), "ships this order itself"),
    ],
)
def test_what_can_not_be_cancelled_is_said(made: Order, lines: Any, sent: Any, text: str) -> None:
    with pytest.raises(Unacceptable, match=text):
        check_cancel(made, lines, sent)


def test_what_is_not_shipped_may_be_cancelled() -> None:
    check_cancel(order(), (), ())
    check_cancel(order(SHIPPED), (B,), (A,))
    assert not is_over(order(), ())
    assert is_over(order({"cancelled": 2}), (A,))
    assert not is_over(order({"cancelled": 2}), ())


def refund(amount: str, shipping: str = "0", line: LineId = A) -> RefundSale:
    given = RefundLine(line, Decimal(amount), Decimal(shipping))
    return RefundSale("key", OrderId("M-1"), "EUR", (given,))


@pytest.mark.parametrize(
    ("amount", "earlier", "goods", "shipping"),
    [
        ("25", (), "20", "5"),  # all that was paid
        ("20.01", (), "20", "0.01"),  # goods first
        ("12.50", (), "12.50", "0"),
        ("5", (refund("20"),), "0", "5"),  # the goods were given back before
        ("6", (refund("15"), refund("9", line=B)), "5", "1"),  # another line's is no business of this one
    ],
)
def test_a_refund_is_goods_first_and_never_more_than_was_paid(
    amount: str, earlier: tuple[RefundSale, ...], goods: str, shipping: str
) -> None:
    given = refund_line(order(SHIPPED), A, Decimal(amount), earlier)
    assert given == RefundLine(A, Decimal(goods), Decimal(shipping))


@pytest.mark.parametrize(
    ("amount", "earlier", "text"),
    [
        ("25.01", (), "more than the 25.00 that was paid for line 1"),
        ("5.01", (refund("20"),), "more than the 5.00 that was paid for line 1 that is not refunded yet"),
        ("0.01", (refund("20", "5"),), "more than the 0 that"),
        ("0", (), "no amount of EUR"),
        ("-1", (), "no amount of EUR"),
        ("1.001", (), "no amount of EUR"),
        ("NaN", (), "no amount of EUR"),
        ("1e50", (), "no amount of EUR"),
        ("Infinity", (), "no amount of EUR"),
    ],
)
def test_a_sum_that_can_not_be_given_back_is_refused(
    amount: str, earlier: tuple[RefundSale, ...], text: str
) -> None:
    with pytest.raises(Unacceptable, match=text):
        refund_line(order(SHIPPED), A, Decimal(amount), earlier)


def test_what_is_not_shipped_is_cancelled_and_not_refunded() -> None:
    with pytest.raises(Unacceptable, match="line 2 is not shipped yet: cancel it"):
        refund_line(order(SHIPPED), B, Decimal(1), ())
    with pytest.raises(Unacceptable, match="is cancelled already"):
        refund_line(order({"cancelled": 2}, {"cancelled": 1}), A, Decimal(1), ())
    with pytest.raises(Unacceptable, match="no line"):
        refund_line(order(SHIPPED), LineId("9"), Decimal(1), ())


def seen(*names: str) -> Unmarked:
    return Unmarked(names, 1, 100.0, 200.0)


def found(*names: str) -> Found:
    return Found(tuple(Record(name, 1) for name in names))


@pytest.mark.rule("A11")
@pytest.mark.rule("A12")
@pytest.mark.parametrize(
    ("names", "elsewhere", "own", "others", "settled", "answer"),
    [
        ((), (), (), False, False, Absent(100.0, 200.0)),
        ((), (), (), True, False, Absent(100.0, 200.0)),
        (("f1",), ("f1",), (), True, False, Absent(100.0, 200.0)),
        (("f1",), (), (), False, False, found("f1")),
        (("f1", "f2"), ("f1",), (), False, False, found("f2")),
        (("f1",), (), (), True, False, Unknown()),  # it may as well be another's that is in doubt
        (("f1",), (), ("f1",), True, False, found("f1")),  # this one is linked to us
        (("f1", "f2"), (), (), False, False, Unknown()),
        (("f1", "f2"), (), ("f1",), False, True, found("f1", "f2")),  # a second one, afterwards: a conflict
        (("f1", "f2"), (), ("f1",), True, True, Unknown()),
    ],
)
def test_a_record_without_a_mark_is_ours_only_if_it_can_be_nobody_elses(
    names: Any, elsewhere: Any, own: Any, others: bool, settled: bool, answer: Any
) -> None:
    said = told_apart(seen(*names), elsewhere, own, others_in_doubt=others, settled=settled)
    assert said == answer


def test_where_nobody_else_writes_the_only_record_is_ours() -> None:
    assert by_itself(Unknown(), ()) == Unknown()
    assert by_itself(seen("f1"), ()) == found("f1")
