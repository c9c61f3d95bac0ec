"""What a marketplace tells as it happens: messages that name orders to read, and prove nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from marketsync.domain.ids import OrderId
from marketsync.errors import Malformed, MarketsyncError, Retry
from marketsync.http import Role
from marketsync.http.documents import is_id
from marketsync.kit.bench import NAME, ORIGIN, Bench, Fresh
from marketsync.kit.mutations import DEEP, mutants
from marketsync.kit.registry import CannotShow, Checks, NotRun
from marketsync.kit.wire import Trouble
from marketsync.ports import Pushes
from marketsync.sandbox.chance import Chance
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import SignsHints

check = Checks("hints", Role.MARKETPLACE, needs="read_hint")

NO_MESSAGES = (b"", b"null", b"0", b"{}", b"[]", b"\xff\xfe", b'{"', b"<html>", DEEP.encode())
MUTANTS = 400
SETTLED_SECONDS = 3600.0
MESSAGES = 20
KEYS_READ_MAX = 3


@check(failures=(27,))
async def read(fresh: Fresh) -> AsyncIterator[str]:
    """A message as the vendor sends it asks for exactly the order that it names, and that order can be read by its id."""
    bench = await fresh()
    placed = [bench.place(("KIT-A", 1)) for _ in range(2)]
    await bench.wait(SETTLED_SECONDS)
    for order_id in placed:
        for body in _told(bench, order_id):
            named = bench.hint_reader.read_hint(body)
            if named != (order_id,):
                yield f"a message of {order_id} asks for {named}"
        if (await bench.read(order_id)).key.order_id != order_id:
            yield f"by the id {order_id} another order is read"


@check(failures=(28,), requirements=("R19",))
async def unknown(fresh: Fresh) -> AsyncIterator[str]:
    """What is no message of an order here asks for nothing and stops nothing; whatever is asked for is an id, and one that
    the marketplace does not know is no trouble."""
    bench = await fresh()
    order_id = bench.place(("KIT-A", 1))
    await bench.wait(SETTLED_SECONDS)
    others = bench.teller.other_hints(bench.now)
    for name, body in (*others.items(), *((f"{x[:9]!r}", x) for x in NO_MESSAGES)):
        for sentence in _judged(bench, body, wanted=()):
            yield f"a message that is {name}: {sentence}"
    for body, changes in mutants(Chance(13), _told(bench, order_id)[0], MUTANTS):
        for sentence in _judged(bench, body):
            yield f"a message with {changes}: {sentence}"
    stranger = await _stranger(fresh)
    try:
        if await bench.raw(stranger):
            yield "an order of another account is read"
    except Exception as error:  # noqa: BLE001 - this is what the check is about
        yield f"an order that the marketplace does not know: {type(error).__name__} instead of nothing"


@check()
async def told(fresh: Fresh) -> AsyncIterator[str]:
    """A message alone changes no order: what it says beside the id is not believed."""
    bench = await fresh()
    live, over = bench.place(("KIT-A", 1)), bench.place(("KIT-A", 1))
    await bench.wait(SETTLED_SECONDS)
    if not bench.market_side.cancel_order(bench.now, over):
        raise CannotShow("the far side does not let a new order be cancelled")
    await bench.wait(SETTLED_SECONDS)
    before, sale = await bench.read(live), bench.sale(live)
    for body in _told(bench, over):
        lie = body.replace(over.encode(), live.encode())
        sent = len(bench.wire.log)
        if bench.hint_reader.read_hint(lie) != (live,):
            yield "a message is not read as the one before, with another order in it"
        if len(bench.wire.log) != sent:
            yield "to read a message makes a call"
    if await bench.read(live) != before or bench.sale(live) != sale:
        yield "a message that calls an order cancelled has changed it"
    if bench.wire.writes:
        yield "a message has made a write"


@check(failures=(28,))
async def signed(fresh: Fresh) -> AsyncIterator[str]:
    """What the vendor signed is believed, with one call for its key; a changed body, a false signature, an unknown key or none
    is not, and where the key can't be had nobody knows."""
    bench = await fresh(settings=_signer(fresh.side()).push_settings(f"{ORIGIN}/hints/{NAME}"))
    order_id = bench.place(("KIT-A", 1))
    await bench.wait(SETTLED_SECONDS)
    body = _told(bench, order_id)[0]
    try:
        _signer(bench.side).signed(body)
    except ImportError:
        raise NotRun("what signatures are made with is not installed") from None
    pushes = _pushes(bench)
    for sentences in (
        await _without_the_key(bench, pushes, body),
        await _by_the_vendor(bench, pushes, body),
        await _by_others(bench, pushes, body, order_id),
        await _by_keys_made_up(bench, pushes, body),
    ):
        for sentence in sentences:
            yield sentence


async def _without_the_key(bench: Bench, pushes: Pushes, body: bytes) -> list[str]:
    bench.wire.next_reads(*[Trouble(Fault.ERROR_BEFORE)] * MESSAGES)
    said = await _verified(pushes, _signer(bench.side).signed(body), body)
    bench.wire.next_reads()
    await bench.wait(SETTLED_SECONDS)
    return [] if said == "Retry" else [f"while the key can't be had, a message is {said}"]


async def _by_the_vendor(bench: Bench, pushes: Pushes, body: bytes) -> list[str]:
    before, said = len(bench.wire.log), []
    for number in range(MESSAGES):
        own = body + b" " * number
        if (what := await _verified(pushes, _signer(bench.side).signed(own), own)) != "believed":
            said.append(f"a message that the vendor signed is {what}")
    if (calls := len(bench.wire.log) - before) > KEYS_READ_MAX:
        said.append(f"{MESSAGES} messages of one key cost {calls} calls")
    return said


async def _by_others(bench: Bench, pushes: Pushes, body: bytes, order_id: OrderId) -> list[str]:
    side, said = _signer(bench.side), []
    headers, other = side.signed(body), order_id[::-1].encode()
    for name, false, stated in (
        ("whose body was changed", body + b" ", headers),
        ("of another order", body.replace(order_id.encode(), other), headers),
        ("signed by somebody else", body, side.signed(body, forged=True)),
        ("without a signature", body, {}),
        ("with a signature that is none", body, dict.fromkeys(headers, "x")),
    ):
        if (what := await _verified(pushes, stated, false)) != "refused":
            said.append(f"a message {name} is {what}")
    return said


async def _by_keys_made_up(bench: Bench, pushes: Pushes, body: bytes) -> list[str]:
    before, said = len(bench.wire.log), []
    for number in range(MESSAGES):
        forged = _signer(bench.side).signed(body, forged=True, key=f"kit-unknown-{number}")
        if (what := await _verified(pushes, forged, body)) not in ("refused", "Retry"):
            said.append(f"a message by a key that nobody knows is {what}")
    if (calls := len(bench.wire.log) - before) > KEYS_READ_MAX:
        said.append(f"{MESSAGES} names of keys that somebody made up cost {calls} calls")
    return said


def _told(bench: Bench, order_id: OrderId) -> list[bytes]:
    found = list(bench.teller.hints(bench.now, order_id))
    if not found:
        raise CannotShow("the far side sends no message of a new order")
    return found


def _judged(bench: Bench, body: bytes, wanted: tuple[OrderId, ...] | None = None) -> list[str]:
    """Of what it is, and with `wanted` of what it may ask for."""
    try:
        named = bench.hint_reader.read_hint(body)
    except Malformed as error:
        shown = "canary" in f"{error!r} {error.__cause__!r}".lower()
        return ["the error shows what it says"] if shown else []
    except Exception as error:  # noqa: BLE001 - it would stop the loop
        return [f"{type(error).__name__} instead of Malformed"]
    if not all(is_id(name) for name in named):
        return ["it asks for what is no id"]
    return [] if wanted is None or named == wanted else [f"it asks for {len(named)} orders"]


async def _stranger(fresh: Fresh) -> OrderId:
    """The id of an order that another account has, and this one not."""
    other = await fresh()
    return [other.place(("KIT-A", 1)) for _ in range(3)][-1]


def _signer(side: object) -> SignsHints:
    if not isinstance(side, SignsHints):
        raise CannotShow("the far side is no SignsHints: nobody pushes, or nothing is signed")
    return side


def _pushes(bench: Bench) -> Pushes:
    secrets = {**bench.side.secrets(), **_signer(bench.side).push_secrets()}
    found = bench.spec.pushes(bench.settings, secrets, bench.adapter) if bench.spec.pushes else None
    if found is None:
        raise CannotShow("the adapter takes no pushes with the far side's push_settings")
    return found


async def _verified(pushes: Pushes, headers: Mapping[str, str], body: bytes) -> str:
    try:
        return "believed" if await pushes.verify_hint(headers, body) else "refused"
    except Retry:
        return "Retry"
    except MarketsyncError as error:
        return f"no decision but {type(error).__name__}"
