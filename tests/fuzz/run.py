"""Runs documents: picks a case, spoils one of its answers, asks the adapter, and judges what came of it."""

from __future__ import annotations

import asyncio
import functools
import gzip
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import FrameType
from typing import Any

import msgspec
from msgspec.structs import replace

from marketsync.domain.ids import ConnectionId
from marketsync.domain.orders import Order
from marketsync.errors import MarketsyncError
from marketsync.ports import RawOrder, Response
from tests.fuzz import amazon, ebay, mirakl, odoo, rest, shopify, woocommerce
from tests.fuzz.judge import failures_of, failures_of_error, failures_of_log
from tests.fuzz.mutations import UNBALANCED, Mutant, damaged, structural
from tests.fuzz.rig import Case, Clock, Read, Replay, Side, Vendor
from tests.fuzz.stored import Shelf

HANG_SECONDS = 1.0
PACKED = b"\x1f\x8b"
STATUSES = (
    200,
    200,
    201,
    202,
    204,
    206,
    301,
    304,
    400,
    401,
    403,
    404,
    408,
    409,
    410,
    422,
    429,
    500,
    502,
    503,
    504,
    599,
)
HEADERS = {
    "date": ("", "yesterday", "Sun, 99 Mar 2026 99:00:00 GMT", "Sun, 01 Mar 9999 12:00:00 GMT", "Sun, 01 Mar 0001 00:00:00 GMT", "\xff"),
    "retry-after": ("-1", "1e99", "٩", "NaN", "Sun, 01 Mar 2026 12:00:00 GMT", "9" * 400, ""),
    "x-wp-total": ("-1", "١٢", "9" * 5_000, "1_0", "", "x", "0", "1"),
}  # fmt: skip


class Document(msgspec.Struct, frozen=True):
    number: int
    case: Case
    mutant: Mutant
    response: Response


class Verdict(msgspec.Struct, frozen=True):
    """`outcome` is "result" or the class of the decision; `parked` counts the orders of it that were parked."""

    document: Document
    outcome: str
    failures: tuple[str, ...]
    seconds: float
    parked: int = 0
    detail: str = ""


class Tally(msgspec.Struct):
    """What a run came to."""

    documents: int = 0
    seconds: float = 0.0
    slowest: int = 0
    slowest_seconds: float = 0.0
    parked: int = 0
    stored: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    changes: Counter[str] = msgspec.field(default_factory=Counter)
    cases: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    failed: list[Verdict] = []
    only: Verdict | None = None

    def add(self, verdict: Verdict) -> None:
        sort = "result" if verdict.outcome == "result" else "decision"
        self.documents += 1
        if verdict.seconds > self.slowest_seconds:
            self.slowest, self.slowest_seconds = verdict.document.number, verdict.seconds
        self.parked += verdict.parked
        self.stored += verdict.document.case.stored
        self.outcomes[verdict.outcome] += 1
        self.changes.update(verdict.document.mutant.changes)
        self.cases[verdict.document.case.name, sort] += 1
        if verdict.failures:
            self.failed.append(verdict)


class Hang(BaseException):
    """One document took more than `HANG_SECONDS` of CPU."""


VENDORS = {
    "amazon": amazon.vendor, "ebay": ebay.vendor, "mirakl": mirakl.vendor, "odoo": odoo.vendor,
    "rest": rest.marketplace, "rest-shop": rest.shop, "shopify": shopify.vendor, "woocommerce": woocommerce.vendor,
}  # fmt: skip


def run(adapter: str, documents: int, seed: int, *, only: int | None = None, named: str = "") -> Tally:
    """`only` is the number of a single document; `named` keeps the cases whose names begin so."""
    return asyncio.run(_run(adapter, documents, seed, only, named))


async def _run(adapter: str, documents: int, seed: int, only: int | None, named: str) -> Tally:
    vendor: Vendor = await VENDORS[adapter]()
    if named:
        vendor = replace(vendor, cases=tuple(case for case in vendor.cases if case.name.startswith(named)))
    tally, began = Tally(), time.perf_counter()
    async with Shelf() as shelf:
        numbers = range(documents) if only is None else (only,)
        for number in numbers:
            document = make(vendor, seed, number)
            verdict = await judged(vendor, document, shelf)
            tally.add(verdict)
            tally.only = verdict if only is not None else None
    tally.seconds = time.perf_counter() - began
    return tally


def make(vendor: Vendor, seed: int, number: int) -> Document:
    """The same document for the same seed and number, whatever ran before."""
    rng = Random(f"{vendor.name}/{seed}/{number}")
    case = vendor.cases[number % len(vendor.cases)]
    answer = case.spoilt.response
    mutant = _mutant(rng, vendor, case, answer.body)
    status = rng.choice(STATUSES) if rng.random() < 0.1 else answer.status
    headers = dict(answer.headers)
    if rng.random() < 0.05:
        name = rng.choice(sorted(HEADERS))
        headers[name] = rng.choice(HEADERS[name])
    return Document(number, case, mutant, replace(answer, status=status, headers=headers, body=mutant.body))


def _mutant(rng: Random, vendor: Vendor, case: Case, body: bytes) -> Mutant:
    if body[:2] == PACKED:
        inner = _mutant(rng, vendor, case, gzip.decompress(body))
        return replace(inner, body=gzip.compress(inner.body, mtime=0))
    is_json = body[:1] in (b"{", b"[")
    if not is_json or rng.random() < 0.25:
        return damaged(rng, body)
    if b"\n{" in body:
        rows = body.split(b"\n")
        chosen = rng.randrange(len(rows))
        inner = structural(rng, rows[chosen].decode(), vendor.known)
        rows[chosen] = inner.body
        return replace(inner, body=b"\n".join(rows))
    listed = case.listed if rng.random() < 0.8 else None
    return structural(rng, body.decode(), vendor.known, listed)


async def judged(vendor: Vendor, document: Document, shelf: Shelf) -> Verdict:
    case = document.case
    clock = Clock(case.at)
    transport = Replay(clock, case.answers, {case.spoilt.key: document.response})
    connection = f"far{document.number}"
    side = Side(vendor.spec, case.settings, vendor.secrets, clock, transport, connection)
    found: list[str] = []
    outcome, result, began = "result", None, time.process_time()
    try:
        with _watched():
            result = await case.ask(side)
            if case.stored and isinstance(result, Read):
                found += await shelf.judge(side, connection, result, vendor.split(case.spoilt.response.body))
    except Hang:
        found.append(f"hang: more than {HANG_SECONDS} s of CPU")
    except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
        outcome = type(error).__name__
        found += failures_of_error(error, transport.written)
        result = error
    seconds = time.process_time() - began
    found += failures_of_log(side)
    if not isinstance(result, Exception):
        found += failures_of(result, vendor.units_min)
    if isinstance(result, Read):
        found += _siblings(vendor, document, result)
    return Verdict(document, outcome, tuple(found), seconds, _parked(result), _detail(result))


def _siblings(vendor: Vendor, document: Document, read: Read) -> Iterator[str]:
    """D1: where one order of a page was spoilt, the others come through as if nothing had been."""
    element = document.mutant.element
    if (
        element is None
        or UNBALANCED & set(document.mutant.changes)
        or not 200 <= document.response.status < 300
    ):
        return
    assert vendor.parse is not None
    good = _orders_of(vendor.split, vendor.parse, document.case.spoilt.response.body)
    others = [order for number, order in enumerate(good) if number != element]
    seen = [_bare(order) for order in read.orders if not isinstance(order, Exception)]
    if any(order not in seen for order in others):
        yield "lost: an order beside the spoilt one did not come through"


@functools.cache
def _orders_of(
    split: Callable[[bytes], Sequence[RawOrder]], parse: Callable[[bytes], Order], body: bytes
) -> tuple[Order, ...]:
    """The orders of a good page, to compare with."""
    return tuple(_bare(parse(raw.raw)) for raw in split(body))


def _bare(order: Order) -> Order:
    """The order, whichever connection it was read by."""
    return replace(order, key=replace(order.key, connection=ConnectionId("")))


def _parked(result: Any) -> int:
    return sum(isinstance(x, MarketsyncError) for x in result.orders) if isinstance(result, Read) else 0


def _detail(result: Any) -> str:
    return ascii(f"{type(result).__name__}: {result}")[:600]


class _watched:  # noqa: N801 - reads as a word at its one use
    """Raises Hang where its block takes too much CPU."""

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGPROF, self._ring)
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, self._before)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        raise Hang
