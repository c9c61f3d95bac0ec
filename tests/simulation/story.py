"""The story of one order, in virtual time and plain words: what happened to it, what went over the wire, what we made of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from marketsync.sandbox.world import World
from marketsync.store.columns import instant
from tests.simulation.ledger import rows
from tests.simulation.witness import Happening, Passage, Witness

_ORDER = re.compile(r"\b(\w+)/([A-Z]+-\d+-[A-Z])")
_SALE = re.compile(r"\b(\w+) ([A-Z]+-\d+-[A-Z])")

ACTS = {
    "placed": "a buyer orders", "accepted": "the order is accepted:", "refused": "the order is refused",
    "decided": "the order is decided:", "debited": "the buyer has paid", "auto_refused": "nobody answered in time: refused",
    "cancelled_by_buyer": "the buyer cancels", "cancelled_by_operator": "the operator cancels",
    "cancelations": "units are taken off:", "refunds": "units are refunded:", "tracked": "this tracking number is stored:",
    "parcel": "a parcel is recorded:", "shipped": "it is marked as sent", "order_created": "it is created",
    "stock_taken": "it takes from the stock:", "stock_back": "it gives back to the stock:", "trashed": "a person throws it away",
    "deleted": "it is deleted for good",
}  # fmt: skip
FAULTS = {
    "not_sent": "no connection: it does not leave", "request_lost": "lost on the way there",
    "answer_lost": "the answer is lost", "late": "held up on the way, it arrives after we gave up",
    "cut": "the connection is cut", "hang": "no answer for as long as we wait", "slow": "the answer takes long",
    "duplicate": "the path delivers it twice", "error_before": "a server error, and nothing was done",
    "error_after": "a server error, although it was done", "malformed": "done, and the answer can't be read",
    "timeout_before": "a gateway's 408, and nothing was done", "timeout_after": "a gateway's 408, although it was done",
}  # fmt: skip
ERRORS = {
    "InDoubt": "we do not know whether it took effect", "ReadFailed": "we could not read the answer",
    "Retry": "it certainly did not leave: again later", "TooLate": "its time was over before it left",
}  # fmt: skip


class Entry(msgspec.Struct, frozen=True):
    """One line of our own history."""

    at: datetime
    event: str
    detail: str


class Line(msgspec.Struct, frozen=True):
    at: datetime
    who: str
    text: str

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f}"[:-3] + f"  {self.who:<12} {self.text}"


def concerned(failures: Iterable[str], world: World) -> str:
    """The first order that a failure names, as "<marketplace>/<order id>"; "" if none does."""
    for text in failures:
        for pattern in (_ORDER, _SALE):
            for name, order_id in pattern.findall(text):
                if (name, order_id) in world.books.placed:
                    return f"{name}/{order_id}"
    return ""


def history_of(directory: Path, order: str, true: Callable[[datetime], datetime]) -> list[Entry]:
    """What our own file says of the order."""
    name, _, order_id = order.partition("/")
    sql = """SELECT h.at, h.event, h.detail FROM history h JOIN orders o ON o.merchant = h.merchant AND o.ref = h.subject
        WHERE o.connection = ? AND o.order_id = ? ORDER BY h.id"""
    found = rows(directory, sql, name, order_id)
    return [Entry(true(instant(at)), event, detail) for at, event, detail in found]


def tell(
    order: str, world: World, witness: Witness, history: Sequence[Entry], ends: Sequence[tuple[datetime, str]]
) -> Iterator[str]:
    """`ends`: when the process was killed, and what with it."""
    name, _, order_id = order.partition("/")
    if (name, order_id) not in world.books.placed:
        yield f"there is no order {order} in this world"
        return
    tail = world.books.key_of(name, order_id)
    remote_ids = {
        (shop, found.remote_id)
        for shop in sorted(world.shops)
        for found in world.shops[shop].orders()
        if world.books.key_of_ref(found.ref) == tail
    }
    acts = [*_acts(witness.happened, {(name, order_id), *remote_ids})]
    wire = [*_wire(witness.wire, name, order_id, tail, remote_ids, acts)]
    ours = [Line(x.at, "marketsync", f"{_words(x.event)}: {x.detail}") for x in history]
    deaths = [
        Line(at, "-" * 10, f"the process is killed{' ' + also if also else ''}, and soon started again")
        for at, also in ends
    ]
    began = world.books.placed[name, order_id]
    last = max([began, *(x.at for x in (*acts, *wire, *ours))])
    yield f"The story of {order}, which our records call ...{tail}:"
    yield from (
        str(x) for x in sorted((*acts, *wire, *ours, *deaths), key=lambda x: x.at) if began <= x.at <= last
    )
    yield from _oversold(world, name, order_id)


def _acts(happened: Iterable[Happening], subjects: set[tuple[str, str]]) -> Iterator[Line]:
    for entry in happened:
        if (entry.side, entry.subject) in subjects:
            what, _, rest = entry.what.partition(" ")
            text = ACTS.get(what, what.replace("status:", "it becomes ").replace("_", " "))
            yield Line(entry.at, entry.side, f"{text} {rest}".strip() + f" (order {entry.subject})")


def _wire(
    wire: Iterable[Passage],
    name: str,
    order_id: str,
    tail: str,
    remote_ids: set[tuple[str, str]],
    acts: Sequence[Line],
) -> Iterator[Line]:
    """Every write that is about the order; of the reads those that show something new, and those that went wrong."""
    news = -1
    for passage in wire:
        request = passage.request
        ids = [remote for shop, remote in remote_ids if shop == request.connection]
        named = [tail, *([order_id] if request.connection == name else [])]
        asked = any(x in request.url or x.encode() in request.body for x in named) or any(
            re.search(rf"/orders/{remote}\b", request.url) for remote in ids
        )
        shown = any(x.encode() in passage.body for x in named)
        known = sum(act.at <= passage.left_at for act in acts)
        if request.write and asked:
            yield from _passage(passage)
        elif not request.write and (asked or shown) and known > news:
            news = known
            yield from _passage(passage)


def _passage(passage: Passage) -> Iterator[Line]:
    request, fault = passage.request, FAULTS.get(passage.fault, passage.fault.replace("_", " "))
    trouble = f" [{fault}]" if passage.fault not in {"", "none"} else ""
    verb = "write to" if request.write else "ask"
    yield Line(
        passage.left_at,
        "wire",
        f"we {verb} {request.connection}: {request.operation} {request.method}{trouble}",
    )
    late = [at for at in passage.arrived if passage.came_at is not None and at > passage.came_at]
    for at in late:
        yield Line(at, "wire", f"that {request.operation} arrives at {request.connection} only now")
    kind, _, rest = passage.outcome.partition(": ")
    seen = f"{ERRORS[kind]} ({rest})" if kind in ERRORS else passage.outcome
    yield Line(passage.came_at or passage.left_at, "wire", f"  {request.operation}: {seen}")


def _oversold(world: World, name: str, order_id: str) -> Iterator[str]:
    for sale in world.books.oversales:
        if (sale.seller, sale.order_id) == (name, order_id):
            yield f"It sold {sale.quantity} of {sale.sku} when {sale.before.free(sale.sku)} were free."


def _words(event: str) -> str:
    return event.replace(".", " ").replace("_", " ")
