"""The judge of oversold sales is judged: logs made by hand, in which a sale is within its bound or beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from marketsync.sandbox.audit import Moment, Oversale, Owed
from tests.simulation.harness import simulate
from tests.simulation.oversell import Log, beyond, bound, debt, forgotten, in_force
from tests.simulation.sparse import sparse
from tests.simulation.witness import Computation, Reading, Telling

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SPARSE_SEEDS = 3


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def truth(seconds: float, base: int, *owed: Owed) -> Moment:
    return Moment(at(seconds), {"A": base}, owed)


def sold(seller: str, order_id: str, units: int = 1, *, decided: bool = True) -> Owed:
    return Owed(seller, order_id, "A", units, decided)


def told(seller: str, quantity: int, truth: Moment, landed: float | None) -> Computation:
    return Computation(seller, truth, {"A": quantity}, None if landed is None else at(landed))


def oversale(seconds: float, before: Moment, quantity: int = 1, seller: str = "alpha") -> Oversale:
    short = quantity - max(0, before.free("A"))
    return Oversale(at(seconds), seller, "A", short, None, quantity, before, "new")


FIRST = told("alpha", 2, truth(0, 2), 0)
READ = Reading(at(10), at(11), {"A": 2})


def log(
    *computations: Computation,
    readings: Sequence[Reading] = (READ,),
    committed: dict[tuple[str, str], float] | None = None,
    placed: dict[tuple[str, str], float] | None = None,
    oversales: Sequence[Oversale] = (),
    tellings: Sequence[Telling] = (),
    troubles: Sequence[tuple[float, float]] = (),
) -> Log:
    return Log(
        computations=(FIRST, *computations),
        readings=readings,
        committed={key: at(x) for key, x in (committed or {}).items()},
        placed={key: at(x) for key, x in (placed or {}).items()},
        oversales=oversales,
        tellings=tellings,
        troubles=[(at(a), at(b)) for a, b in troubles],
    )


@pytest.mark.rule("C19")
@pytest.mark.parametrize(
    ("quantity", "known_at", "fits"),
    [
        (2, None, True),  # stock 2, one sold on beta and not committed: 2 may be published
        (1, 50.0, True),  # committed before: one is left
        (2, 50.0, False),  # committed before, and published all the same
        (3, None, False),  # more than there ever was
    ],
)
def test_what_is_published_is_at_most_what_is_free_and_what_nobody_told(
    quantity: int, known_at: float | None, fits: bool
) -> None:
    made = told("alpha", quantity, truth(100, 2, sold("beta", "b1")), 120)
    known = {} if known_at is None else {("beta", "b1"): known_at}
    found = list(beyond(log(made, committed=known, placed={("beta", "b1"): 40})))
    assert (found == []) is fits
    assert all(text.startswith("C19") for text in found)


@pytest.mark.rule("C19")
def test_what_left_the_shop_since_it_was_read_may_still_be_published() -> None:
    made = told("alpha", 2, truth(100, 1), 120)
    assert list(beyond(log(made))) == []
    again = Reading(at(90), at(91), {"A": 1})
    assert [x[:4] for x in beyond(log(made, readings=(READ, again)))] == ["C19:"]
    # A figure that may have died with the process leaves the one before it in force.
    assert list(beyond(log(made, readings=(READ, again), troubles=[(92, 92)]))) == []


@pytest.mark.rule("C20")
def test_a_sale_elsewhere_that_the_listing_has_not_heard_of_explains_one_unit() -> None:
    before = truth(300, 1, sold("beta", "b1"))
    sale = oversale(300, before)
    made = told("alpha", 1, truth(100, 1), 120)
    held = log(
        made,
        readings=(replace(READ, base={"A": 1}),),
        committed={("beta", "b1"): 250},
        placed={("beta", "b1"): 200},
        oversales=(sale,),
    )
    assert debt(sale) == 1
    assert bound(held, sale, in_force(held, sale)).others == 1
    assert list(beyond(held)) == []
    # Known before the listing was computed, it explains nothing.
    wrong = told("alpha", 1, truth(100, 1, sold("beta", "b1")), 120)
    early = replace(
        held,
        computations=(FIRST, wrong),
        committed={("beta", "b1"): at(90)},
        placed={("beta", "b1"): at(80)},
    )
    assert [x[:4] for x in beyond(early)] == ["C19:", "C20:"]


@pytest.mark.rule("C20")
@pytest.mark.parametrize(("placed", "explained"), [(110.0, True), (130.0, False)])
def test_an_own_sale_counts_only_if_the_write_overwrote_it(placed: float, explained: bool) -> None:
    """A sale after the landing comes out of the listing itself: it can't be sold twice."""
    before = truth(300, 1, sold("alpha", "a1"))
    sale = oversale(300, before)
    made = told("alpha", 1, truth(100, 1), 120)
    held = log(
        made, readings=(replace(READ, base={"A": 1}),), placed={("alpha", "a1"): placed}, oversales=(sale,)
    )
    assert (list(beyond(held)) == []) is explained


@pytest.mark.rule("C20")
def test_what_left_the_shop_otherwise_explains_a_unit_and_a_delivery_takes_it_back() -> None:
    sale = oversale(300, truth(300, 0))
    made = told("alpha", 2, truth(100, 2), 120)
    assert list(beyond(log(made, oversales=(sale,)))) == []
    restocked = Reading(at(10), at(11), {"A": 0})
    found = list(beyond(log(told("alpha", 1, truth(100, 1), 120), readings=(restocked,), oversales=(sale,))))
    assert [x[:4] for x in found] == ["C19:", "C20:"]


@pytest.mark.rule("C20")
def test_more_units_short_than_are_explained_is_beyond_the_bound() -> None:
    before = truth(300, 1, sold("beta", "b1", 2))
    sale = oversale(300, before, quantity=2)
    made = told("alpha", 2, truth(100, 2), 120)
    held = log(made, placed={("beta", "b1"): 200}, oversales=(sale,))
    assert debt(sale) == 3
    assert bound(held, sale, made).units == 3
    assert list(beyond(held)) == []
    # A third unit that was known is one too many: either the quantity was wrong, or the marketplace listed more.
    known = replace(
        held,
        computations=(FIRST, told("alpha", 2, truth(100, 2, sold("beta", "b0")), 120)),
        committed={("beta", "b0"): at(20)},
        placed={**held.placed, ("beta", "b0"): at(15)},
        oversales=(oversale(300, truth(300, 2, sold("beta", "b0"), sold("beta", "b1", 2)), 2),),
    )
    assert [x[:4] for x in beyond(known)] == ["C19:", "C20:"]


@pytest.mark.rule("C13")
@pytest.mark.parametrize(("decided", "wanted", "why"), [(False, 2, "waiting"), (True, 2, ""), (False, 1, "")])
def test_an_order_that_waits_and_is_not_allocated_subtracts_nothing(
    decided: bool, wanted: int, why: str
) -> None:
    """One is published. An order of two did not fit; one of one is allocated, or nothing would be left of two."""
    waiting = sold("beta", "b1", wanted, decided=decided)
    made = told("alpha", 1, truth(100, 2, waiting), 120)
    sale = oversale(300, truth(300, 2, waiting))
    held = log(made, committed={("beta", "b1"): 50}, placed={("beta", "b1"): 40}, oversales=(sale,))
    terms = bound(held, sale, made)
    assert (terms.waiting, terms.others) == (wanted if why else 0, 0)


@pytest.mark.rule("C20")
def test_a_marketplace_that_lists_again_by_itself_is_seen() -> None:
    sale = oversale(300, truth(300, 0), quantity=1)
    made = told("alpha", 0, truth(100, 0), 120)
    (found,) = beyond(log(made, readings=(replace(READ, base={"A": 0}),), oversales=(sale,)))
    assert "listed again by itself" in found


def test_only_a_write_that_landed_is_in_force() -> None:
    sale = oversale(300, truth(300, 0))
    late, never = told("alpha", 1, truth(90, 1), 301), told("alpha", 1, truth(95, 1), None)
    made = told("alpha", 2, truth(80, 2), 299)
    assert in_force(log(made, late, never), sale) is made


def test_what_was_told_and_is_not_committed_at_once_is_forgotten() -> None:
    tellings = (Telling(at(50), "beta", "b1"),)
    prompt = log(tellings=tellings, committed={("beta", "b1"): 51})
    late = log(tellings=tellings, committed={("beta", "b1"): 110})
    killed = log(tellings=tellings, committed={("beta", "b1"): 110}, troubles=[(51, 51)])
    assert list(forgotten(prompt)) == []
    assert [x.split(":")[0] for x in forgotten(late)] == ["told and forgotten"]
    assert list(forgotten(killed)) == []
    assert list(forgotten(replace(late, unreadable={("beta", "b1")}))) == []


@pytest.mark.rule("C20")
@pytest.mark.parametrize("seed", range(SPARSE_SEEDS))
def test_sales_that_are_far_apart_are_never_oversold(seed: int) -> None:
    outcome = simulate(sparse(seed))
    assert outcome.failures == ()
    assert outcome.orders >= 3
    assert outcome.oversold == 0
