"""Our reference: short, stable, and another one wherever anything of the order's identity is another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from marketsync.domain.ids import (
    REFERENCE_LENGTH_MAX,
    ConnectionId,
    MerchantId,
    OrderId,
    OrderKey,
    installation_of,
    reference,
    same_order_of_other_installation,
)

KEY = OrderKey(MerchantId("main"), ConnectionId("alpha"), OrderId("A-1"))
INSTALLATIONS = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8)
TEXTS = st.text(max_size=200)
KEYS = st.builds(OrderKey, TEXTS, TEXTS, TEXTS)


def test_it_never_changes() -> None:
    """It stands in shops: another way to compute it would create every open order a second time."""
    assert reference("inst1", KEY) == "ms-inst1-qtha-bll7hf37enz5le"


@given(INSTALLATIONS, KEYS)
def test_it_is_short_and_plain_whatever_a_marketplace_calls_its_orders(
    installation: str, key: OrderKey
) -> None:
    ref = reference(installation, key)
    assert len(ref) <= REFERENCE_LENGTH_MAX
    assert ref.isascii()
    assert ref == ref.lower().strip()
    assert reference(installation, key) == ref
    assert installation_of(ref) == installation


@pytest.mark.failure(16)
@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, merchant=MerchantId("second")),
        replace(KEY, connection=ConnectionId("beta")),
        replace(KEY, order_id=OrderId("A-2")),
        replace(KEY, order_id=OrderId("a-1")),
    ],
    ids=["merchant", "connection", "order", "case"],
)
def test_it_differs_with_every_part_of_the_key(other: OrderKey) -> None:
    assert reference("inst1", other) != reference("inst1", KEY)


def test_it_differs_by_installation_and_only_there() -> None:
    ours, theirs = reference("inst1", KEY), reference("inst2", KEY)
    assert ours != theirs
    assert same_order_of_other_installation(theirs, ours)
    assert not same_order_of_other_installation(ours, ours)
    another = replace(KEY, order_id=OrderId("A-2"))
    assert not same_order_of_other_installation(reference("inst2", another), ours)


def test_orders_of_one_connection_share_its_part() -> None:
    first, second = reference("inst1", KEY), reference("inst1", replace(KEY, order_id=OrderId("A-2")))
    assert first.rsplit("-", 1)[0] == second.rsplit("-", 1)[0]
    assert (
        first.rsplit("-", 1)[0]
        != reference("inst1", replace(KEY, connection=ConnectionId("b"))).rsplit("-", 1)[0]
    )


def test_many_orders_have_many_references() -> None:
    made = {reference("inst1", replace(KEY, order_id=OrderId(str(n)))) for n in range(20_000)}
    assert len(made) == 20_000


@pytest.mark.parametrize("installation", ["", "ninechars", "a-b", "a b", "ab\n", "a/b"])
def test_an_installation_has_one_to_eight_letters_and_digits(installation: str) -> None:
    with pytest.raises(ValueError, match="1 to 8"):
        reference(installation, KEY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1001",
        "ms-",
        "ms-inst1-bcpx",
        "MS-inst1-bcpx-5zojrelgwozkfm",
        "ms-ninechars-bcpx-5zojrelgwozkfm",
        " ms-inst1-bcpx-5zojrelgwozkfm",
        "ms-inst1-bcpx-5zojrelgwozkfm\n",
        "ms-inst1-bcpx-5zojrelgwozkfm0",
    ],
)
def test_what_is_no_reference_names_no_installation(text: str) -> None:
    assert installation_of(text) is None
    assert not same_order_of_other_installation(text, reference("inst1", KEY))


@given(TEXTS)
def test_no_text_of_a_shop_breaks_the_comparison(text: str) -> None:
    found = installation_of(text)
    assert found is None or 1 <= len(found) <= 8


def test_keys_sort_and_hash_by_their_parts() -> None:
    later = replace(KEY, order_id=OrderId("B"))
    assert sorted([later, KEY]) == [KEY, later]
    assert len({KEY, replace(KEY), later}) == 2
