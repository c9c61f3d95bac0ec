"""The short form of `python -m tests.fuzz`, and planted faults that it must see."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from adapters.mirakl import pages
from adapters.mirakl.adapter import Mirakl
from adapters.woocommerce import stock
from marketsync.errors import Malformed
from tests.fuzz import mirakl
from tests.fuzz import run as fuzz
from tests.fuzz.mutations import DAMAGE, STRUCTURAL

DOCUMENTS = {
    "amazon": 750,
    "ebay": 750,
    "mirakl": 750,
    "odoo": 1500,
    "rest": 750,
    "rest-shop": 750,
    "shopify": 1500,
    "woocommerce": 750,
}
SEED = 1
SHOPS = {"odoo", "rest-shop", "shopify", "woocommerce"}
STRICT = {"rest-shop", "shopify"}
"""Our own contract, and an API of which nothing comes that was not asked for: an answer that leaves it is none."""


@pytest.mark.failure(14)
@pytest.mark.failure(23)
@pytest.mark.failure(25)
@pytest.mark.parametrize("adapter", sorted(DOCUMENTS))
def test_no_document_breaks_an_adapter(adapter: str) -> None:
    tally = fuzz.run(adapter, DOCUMENTS[adapter], SEED)
    assert [(verdict.document.number, verdict.failures) for verdict in tally.failed] == []
    assert tally.documents == DOCUMENTS[adapter]
    assert {name for name, _ in (*STRUCTURAL, *DAMAGE)} == set(tally.changes)
    # Traits tell of problems instead; a listed row that can't be read by itself stays as it was listed.
    told = {name for name, _ in tally.cases if not re.match(r"traits|page.*/order/", name)}
    assert [name for name in sorted(told) if not tally.cases[name, "decision"]] == []
    assert tally.outcomes["result"] > tally.documents / (20 if adapter in STRICT else 5)
    if adapter not in SHOPS:
        assert tally.parked > 30
        assert tally.stored > 20


def test_a_document_is_the_same_whatever_ran_before() -> None:
    alone = fuzz.run("mirakl", 0, SEED, only=54).only
    vendor = asyncio.run(mirakl.vendor())
    among = [fuzz.make(vendor, SEED, number) for number in range(55)]
    assert alone is not None
    assert (alone.document.number, alone.document.mutant) == (54, among[54].mutant)
    assert alone.document.response == among[54].response


def test_what_is_put_into_one_document_is_in_no_other() -> None:
    """A list that was put into one was changed there, in the end until it held itself."""
    change, rng = dict(STRUCTURAL)["empty"], Random(SEED)
    for _ in range(100):
        holder: dict[str, Any] = {"a": 1}
        change(rng, holder, "a")
        assert "spoilt" not in str(holder)
        if isinstance(holder["a"], list):
            holder["a"].append("spoilt")


def crash(self: Any, raw: bytes) -> Any:
    assert json.loads(raw)["order_lines"][0]["price"] != "free"
    return _parse(self, raw)


def leak(self: Any, raw: bytes) -> Any:
    try:
        return _parse(self, raw)
    except Malformed as error:
        raise Malformed(error.path, raw.decode("utf-8", "replace")) from None


def spin(self: Any, raw: bytes) -> Any:
    while b"NaN" in raw:
        pass
    return _parse(self, raw)


_parse = Mirakl.parse_order


@pytest.mark.parametrize(("planted", "seen"), [(crash, "crash"), (leak, "leak"), (spin, "hang")])
def test_a_planted_fault_of_a_parser_is_seen(
    monkeypatch: pytest.MonkeyPatch, planted: Callable[..., Any], seen: str
) -> None:
    monkeypatch.setattr(Mirakl, "parse_order", planted)
    monkeypatch.setattr(fuzz, "HANG_SECONDS", 0.1)
    tally = fuzz.run("mirakl", 120, SEED, named="page <")
    assert any(failure.startswith(seen) for verdict in tally.failed for failure in verdict.failures)


def test_a_page_that_loses_the_others_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages.PAGES, "_split_by_hand", lambda body: ((), 0))
    tally = fuzz.run("mirakl", 100, SEED, named="page <")
    assert any("lost" in failure for verdict in tally.failed for failure in verdict.failures)


def test_a_figure_that_no_column_holds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stock, "FIGURE_MAX", 10**60)
    tally = fuzz.run("woocommerce", 300, SEED, named="stock")
    assert any("no column" in failure for verdict in tally.failed for failure in verdict.failures)
