"""Throttles, budgets, credentials, and what nobody may see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from marketsync.domain.deliveries import Kind, State
from marketsync.errors import MarketsyncError, Park, PauseConnection, Retry
from marketsync.http import Role
from marketsync.kit.bench import BUYER, ORIGIN, Bench, Fresh
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.people import HOME, parcel_of, ready_order, to_create
from marketsync.kit.reading import everything
from marketsync.kit.registry import CannotShow, Checks
from marketsync.kit.wire import Trouble
from marketsync.ports import Request, Response
from marketsync.sandbox.kinds import Fault
from marketsync.sandbox.roles import GivesTokens

check = Checks("net", None)

Ask = Callable[[], Awaitable[Any]]

THROTTLES = (
    Fault.THROTTLED_SECONDS, Fault.THROTTLED_DATE, Fault.THROTTLED_PAST, Fault.THROTTLED_BARE,
    Fault.THROTTLED_NEGATIVE, Fault.THROTTLED_GARBAGE, Fault.THROTTLED_HUGE,
)  # fmt: skip
WAIT_MIN, WAIT_MAX = 1.0, 900.0
ROUNDS = 60
GOOD_CALLS = 3
RENEWED_SECONDS_MAX = 600.0
RAW_CALLS = 600
LINKS_MAX = 10
ELSEWHERE = "https://elsewhere.example"
MEETS = (Fault.MALFORMED, Fault.ERROR_AFTER, Fault.REFUSED_BEFORE, Fault.HTML_PAGE, Fault.FORBIDDEN)


@check(failures=(36, 37))
async def throttled(fresh: Fresh) -> AsyncIterator[str]:
    """A 429 of any form is waited out, between a second and a quarter of an hour; it is no failure, and has no effect."""
    for fault in THROTTLES:
        bench = await fresh()
        ask = _read(bench)
        await bench.wait(3600.0)
        bench.wire.next_reads(Trouble(fault))
        before = len(_asked(bench))
        try:
            await ask()
        except Retry as error:
            left = error.after_seconds or 0.0
            if error.counted or not WAIT_MIN <= left <= WAIT_MAX:
                yield f"{fault.value} to a read: a wait of {left:.0f} s, {'a' if error.counted else 'no'} failure"
            if (times := len(_asked(bench)) - before) != 1:
                yield f"{fault.value} to a read: it was asked {times} times"
        else:
            yield f"{fault.value} to a read is not told: it was asked again at once"
        bench = await fresh()
        drive = Drive(await _write(bench))
        now = drive.watch()
        await drive.move(Trouble(fault))
        wait = drive.row.due_at - bench.now.timestamp()
        if drive.row.state is not State.QUEUED or drive.row.failures:
            yield f"{fault.value} to a write makes it {drive.row.state.value}, {drive.row.failures} failures"
        elif not WAIT_MIN - 0.5 <= wait <= WAIT_MAX:
            yield f"{fault.value} to a write: a wait of {wait:.0f} s"
        if drive.watch() != now:
            yield f"{fault.value} to a write took effect"


@check(failures=(36,))
async def budgets(fresh: Fresh) -> AsyncIterator[str]:
    """As fast as the adapter's own budgets let it, nobody is throttled; who knows no budget is."""
    bench = await fresh()
    ask = _read(bench)
    for _ in range(ROUNDS):
        await bench.patient(ask)
    drive = Drive(await _write(bench))
    await drive.to_end(watched=False)
    if count := bench.wire.statuses.count(429):
        yield f"of {len(bench.wire.statuses)} calls at the pace of its own budgets {count} are throttled"
    await bench.patient(ask)
    last = _asked(bench)[-1]
    statuses = [bench.side.handle(last, bench.now).status for _ in range(RAW_CALLS)]
    if 429 not in statuses:
        raise CannotShow(f"the far side lets {RAW_CALLS} calls of one moment through")


@check(failures=(38,))
async def credentials(fresh: Fresh) -> AsyncIterator[str]:
    """Wrong credentials stop the connection after a few calls, and are shown nowhere."""
    wrong = dict.fromkeys(fresh.side().secrets(), "kit-wrong-secret")
    bench = await fresh(secrets=wrong, traits=False)
    for _ in range(200):
        try:
            await _read(bench)()
        except PauseConnection as error:
            if "kit-wrong-secret" in str(error):
                yield "the error shows the secret"
            break
        except MarketsyncError as error:
            await bench.wait(getattr(error, "after_seconds", None) or 60.0)
        else:
            yield "wrong credentials are let in"
            return
    else:
        yield "wrong credentials never stop the connection"
    if len(bench.wire.log) > 130:
        yield f"wrong credentials are tried {len(bench.wire.log)} times"
    if any("kit-wrong-secret" in line for line in bench.ear.said):
        yield "the log shows the secret"


@check(failures=(39,))
async def tokens(fresh: Fresh) -> AsyncIterator[str]:
    """A token that expires is renewed once and the work goes on, a write's too; a consent that was withdrawn stops the
    connection."""
    bench = await fresh()
    side = _tokens_of(bench)
    ask, drive = _read(bench), Drive(await _write(bench))
    await bench.patient(ask)
    before = len(side.issued())
    for _ in range(GOOD_CALLS):
        await bench.patient(ask)
    if len(side.issued()) != before:
        yield "a token that is good is asked for again"
    for sentence in await _renewed(bench, ask, "a read"):
        yield sentence
    for sentence in await _renewed(bench, lambda: _written(drive), "a write"):
        yield sentence
    side.revoke(bench.now)
    side.expire(bench.now)
    for sentence in await _stopped(bench, ask):
        yield sentence
    shown = "\n".join((*bench.ear.said, repr(bench.plan), repr(bench.plan.auth), repr(bench.settings)))
    if any(token in shown for token in side.issued()):
        yield "a token is shown in the log or in a plan"


def _tokens_of(bench: Bench) -> GivesTokens:
    if not isinstance(bench.side, GivesTokens):
        raise CannotShow("the far side gives no tokens: its credentials are fixed")
    return bench.side


async def _renewed(bench: Bench, work: Ask, what: str) -> list[str]:
    """Counted at the far side: an adapter may ask for its tokens in a way of its own."""
    side, began = _tokens_of(bench), bench.now
    before = len(side.issued())
    side.expire(began)
    try:
        await bench.patient(work)
    except (MarketsyncError, TimeoutError) as error:
        return [f"{what} with a token that had expired ends in {type(error).__name__}"]
    if (seconds := (bench.now - began).total_seconds()) > RENEWED_SECONDS_MAX:
        return [f"{what} with a token that had expired goes on {seconds:.0f} s later"]
    after = len(side.issued())
    if after == before:
        return [f"{what} with a token that had expired went through, and no other was asked for"]
    await bench.patient(_read(bench))
    return [] if len(side.issued()) == after else [f"behind {what} a token was renewed twice"]


async def _written(drive: Drive) -> None:
    before, row = drive.watch(), await drive.to_end(watched=False)
    if row.state is not State.DONE or drive.watch() == before:
        raise Park(row.error)


async def _stopped(bench: Bench, ask: Ask) -> list[str]:
    for _ in range(200):
        try:
            await ask()
        except PauseConnection:
            return []
        except Retry as error:
            await bench.wait(error.after_seconds or 60.0)
        else:
            return ["a consent that was withdrawn is used on"]
    return ["a consent that was withdrawn never stops the connection"]


@check(requirements=("R19",))
async def redaction(fresh: Fresh) -> AsyncIterator[str]:
    """No secret and nothing of a buyer is in a log, a metric, an error, a conflict or the text of any value."""
    shown: list[str] = []
    canaries: dict[str, str] = {}
    seen = False
    for fault in MEETS:
        bench = await fresh(buyer=BUYER) if fresh.spec.role is Role.MARKETPLACE else await fresh()
        bench.wire.edit = watcher = _Watcher()
        for field, value in bench.side.secrets().items():
            canaries[value] = f"the secret {field}"
        drive = Drive(await _write(bench))
        if isinstance(bench.side, GivesTokens):
            canaries |= dict.fromkeys(bench.side.issued(), "a token")
        await drive.move(Trouble(fault))
        bench.wire.next_reads(*[Trouble(fault)] * 4)
        await _errors(shown, _read(bench))
        bench.wire.next_reads()
        await drive.to_end(watched=False)
        shown += [*bench.ear.said, drive.row.error, *drive.conflicts, *drive.causes, *drive.said]
        for error in drive.raised:
            shown += _texts(error)
        shown += [
            repr(bench.plan),
            repr(bench.plan.auth),
            repr(bench.http),
            *(repr(x) for x in bench.wire.sent),
        ]
        seen = seen or watcher.seen
    if fresh.spec.role is Role.MARKETPLACE and not seen:
        raise CannotShow("the far side does not sell to the buyer of its SidePlan")
    for canary in (BUYER.name, BUYER.email, BUYER.company, BUYER.phone, HOME.street1, "Quill", "Canary"):
        canaries[canary] = "a buyer's name or address"
    text = "\n".join(shown)
    for canary, what in canaries.items():
        if canary and canary in text:
            yield f"{what} is shown: in {_where(shown, canary)}"


@check()
async def origin(fresh: Fresh) -> AsyncIterator[str]:
    """An address in an answer that leads elsewhere is not followed."""
    bench = await fresh()
    bench.wire.edit = _led_away
    await _errors([], _read(bench))
    try:
        await Drive(await _write(bench)).to_end(watched=False)
        await _errors([], _read(bench))
    except CannotShow:
        pass
    allowed = (urlsplit(ORIGIN).hostname or "", *bench.plan.other_hosts)
    for request in bench.wire.sent:
        host = urlsplit(request.url).hostname or ""
        if not any(host == known or host.endswith(f".{known}") for known in allowed):
            yield f"{request.operation} was led to another host by an answer"


def _asked(bench: Bench) -> list[Request]:
    """What was sent, but to get tokens."""
    return [request for request in bench.wire.sent if request.operation != bench.wire.token]


def _read(bench: Bench) -> Ask:
    if bench.spec.role is Role.BACK_OFFICE:
        return lambda: bench.shop.sweep_stock("")
    return lambda: bench.marketplace.fetch_orders(everything(bench), 0)


async def _write(bench: Bench) -> Scene:
    """One write of the adapter, ready to leave: the one that every adapter of its role has."""
    if bench.spec.role is Role.BACK_OFFICE:
        wanted = await to_create(bench)
        return Scene(bench, Kind.CREATE, wanted, lambda: [x.lines for x in bench.held(wanted.ref)])
    order = await ready_order(bench)
    order_id = order.key.order_id
    payload = parcel_of(bench, order)
    return Scene(
        bench, Kind.CONFIRM, payload, lambda: (bench.sale(order_id).told, bench.sale(order_id).shipped)
    )


async def _errors(shown: list[str], ask: Ask) -> None:
    for _ in range(3):
        try:
            await ask()
        except MarketsyncError as error:
            shown += _texts(error)


def _texts(error: BaseException | None) -> list[str]:
    """What a traceback would show."""
    shown: list[str] = []
    while error is not None and len(shown) < LINKS_MAX:
        shown.append(f"{error} {error!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown


class _Watcher:
    """Whether any answer has shown the buyer of the SidePlan."""

    def __init__(self) -> None:
        self.seen = False

    def __call__(self, _: Request, response: Response) -> Response:
        self.seen = self.seen or b"Canary" in response.body
        return response


def _led_away(request: Request, response: Response) -> Response:
    headers = {name: value.replace(ORIGIN, ELSEWHERE) for name, value in response.headers.items()}
    plain, escaped = ORIGIN.encode(), ORIGIN.replace("/", "\\/").encode()
    body = response.body.replace(plain, ELSEWHERE.encode()).replace(escaped, ELSEWHERE.encode())
    return replace(response, headers=headers, body=body)


def _where(shown: Sequence[str], canary: str) -> str:
    """The first words of the line, without what must not be shown."""
    line = next(line for line in shown if canary in line)
    return line.replace(canary, "...")[:60]
