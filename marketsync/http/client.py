"""The client of one connection: signs, meters, sends, judges, and repeats reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

import backoff
from msgspec.structs import replace

from marketsync.errors import (
    ConfigError,
    InDoubt,
    MarketsyncError,
    PauseConnection,
    ReadFailed,
    Refused,
    Retry,
    TooLate,
)
from marketsync.http.addresses import checked_base, may_visit, origin
from marketsync.http.auth import Auth, InBody, OAuth1, OAuth2, Pairs
from marketsync.http.budgets import Budgets
from marketsync.http.calls import Answer, Call, Operation
from marketsync.http.redact import safe_headers, safe_url
from marketsync.http.retry_after import SECONDS_MAX, SECONDS_MIN, http_date, retry_after_seconds
from marketsync.http.tokens import Grant, MemoryTokens, Tokens, grant_of
from marketsync.ports import Clock, Departure, Observer, Random, Request, Response, Transport

BUDGET_WAIT_SECONDS_MAX = 60.0
BACKOFF_SECONDS_MAX = 10.0
NONCE_LENGTH = 32


class Http:
    """One per connection, the only way for an adapter to reach its vendor."""

    def __init__(
        self,
        *,
        connection: str,
        base_url: str,
        auth: Auth | OAuth2,
        tokens: Tokens | None = None,
        other_hosts: Iterable[str] = (),
        operations: Iterable[Operation],
        budgets: Budgets,
        transport: Transport,
        clock: Clock,
        random: Random,
        observer: Observer,
    ) -> None:
        self._connection = connection
        self._base = checked_base(base_url, bare_secret=auth.bare_secret)
        self._base_url = self._base.geturl()
        self._auth = auth
        self._tokens = tokens
        if isinstance(auth, OAuth2):
            checked_base(auth.token_url, bare_secret=auth.bare_secret)
            self._tokens = tokens or Tokens(auth, clock, MemoryTokens())
        self._other_hosts = tuple(other_hosts)
        self._operations = {operation.name: operation for operation in operations}
        self._budgets = budgets
        self._transport = transport
        self._clock = clock
        self._random = random
        self._observer = observer
        self._server_date: tuple[datetime, float] | None = None
        self._unauthorised = False
        unknown = [
            operation.name for operation in self._operations.values() if operation.budget not in budgets
        ]
        if unknown:
            raise ConfigError(f"connection {connection}: no budget is declared for {', '.join(unknown)}")

    async def read(self, call: Call) -> Answer:
        """A 2xx answer, after bounded retries. Raises Retry, ReadFailed, Refused or PauseConnection.

        A throttle is not waited for here: Retry says how long, and is not counted.
        """
        operation = self._operations[call.operation]
        waits, failed = self._waits(), None
        for left in reversed(range(operation.retries + 1)):
            try:
                await self._take(operation, operation.budget_wait_seconds)
            except Retry as spent:
                # Nobody is to hear of the budget what is the network's fault.
                raise failed or spent from None
            try:
                return await self._exchange(call, operation, None)
            except Retry as error:
                if left == 0 or not error.counted:
                    raise
                failed = error
            await self._clock.sleep(next(waits))
        raise AssertionError("the last try returns or raises")

    async def call_next(self, operation: str, url: str) -> Answer:
        """Reads a `next` link of the same origin and base path, signed anew: its own signature is dropped."""
        try:
            call = _next_call(operation, urlsplit(url), self._base)
        except ValueError:
            raise ReadFailed(f"{operation}: the next link is not usable on this connection") from None
        return await self.read(call)

    async def ready(self, operation: str, within_seconds: float = BUDGET_WAIT_SECONDS_MAX) -> None:
        """Waits for the budget of a write before it is claimed: its send-by clock does not run meanwhile.

        The call taken is kept for the next `write` of that budget, for one period of it. Raises Retry, not
        counted, if the wait would be longer than `within_seconds`. A token that is about to end is renewed now, too.
        """
        await self._reserve(self._operations[operation], within_seconds)
        if self._tokens is not None:
            await self._tokens.ready(self._ask_token)

    def is_ready(self, operation: str) -> bool:
        """Whether `ready` would have nothing to wait for."""
        return self._budgets.left(self._operations[operation].budget) > 0

    def behind_seconds(self, operation: str) -> float:
        """How long a second call would wait behind one that leaves as soon as it may; 0 where the operation is not known."""
        known = self._operations.get(operation)
        return 0.0 if known is None else self._budgets.behind_seconds(known.budget)

    async def write(self, call: Call, departure: Departure) -> Answer:
        """Exactly one request, never repeated; a 2xx answer. Raises TooLate, Retry, InDoubt, Refused, PauseConnection."""
        operation = self._operations[call.operation]
        left_seconds = departure.send_by - self._clock.monotonic()
        if left_seconds <= 0:
            raise TooLate
        if not self._budgets.spend(operation.budget):
            await self._take(operation, left_seconds)
        return await self._exchange(call, operation, departure)

    def hold(self, operation: str, seconds: float) -> None:
        """Nothing more of its budget leaves for so long: a far side that meters by cost says so in an answer's body, which only
        the adapter reads."""
        self._budgets.block(self._operations[operation].budget, seconds)

    async def transfer(
        self, operation: str, method: str, url: str, body: bytes = b"", content_type: str = ""
    ) -> Answer:
        """A file that the far side keeps on another host, by an address that it gave us: nothing of ours but the body travels.

        Such an address is a secret. It must be https and lie on one of the plan's `other_hosts`, or on our own origin.
        Raises as `read`.
        """
        chosen = self._operations[operation]
        if not may_visit(url, self._base, self._other_hosts):
            raise ReadFailed(f"{operation}: the address that was given is not one of this connection's")
        await self._take(chosen, BUDGET_WAIT_SECONDS_MAX)
        headers = (("Content-Type", content_type),) if content_type else ()
        return await self._judged(self._shaped(chosen, method, url, headers, body), chosen, None, ours=False)

    def budgets_left(self) -> dict[str, int]:
        """Calls that may leave at once, by the name of their budget."""
        names = sorted({operation.budget for operation in self._operations.values()})
        return {name: self._budgets.left(name) for name in names}

    def server_now(self) -> datetime | None:
        """The server's clock: its last Date and the monotonic time since (B1). None before the first answer."""
        if self._server_date is None:
            return None
        date, received_at = self._server_date
        return date + timedelta(seconds=max(0.0, self._clock.monotonic() - received_at))

    async def _take(self, operation: Operation, within_seconds: float) -> None:
        await self._reserve(operation, within_seconds)
        self._budgets.spend(operation.budget)

    async def _reserve(self, operation: Operation, within_seconds: float) -> None:
        waited = await self._budgets.reserve(operation.budget, within_seconds)
        if waited > 0:
            self._observer.observe(
                "marketsync_budget_wait_seconds", waited, connection=self._connection, budget=operation.budget
            )

    async def _ask_token(self, refresh_token: str) -> Grant:
        auth = self._auth
        assert isinstance(auth, OAuth2)  # noqa: S101 - nobody else has tokens
        operation = self._operations[auth.operation]
        await self._take(operation, BUDGET_WAIT_SECONDS_MAX)
        headers = (*auth.client_headers(), ("Content-Type", "application/x-www-form-urlencoded"))
        request = self._shaped(operation, "POST", auth.token_url, headers, auth.form(refresh_token))
        began = self._clock.monotonic()
        try:
            grant = grant_of(operation.name, await self._sent(request))
        except MarketsyncError as error:
            self._observe(request, began, _outcome(error))
            raise
        self._observe(request, began, "ok")
        return grant

    async def _exchange(self, call: Call, operation: Operation, departure: Departure | None) -> Answer:
        generation = None
        if self._tokens is not None:
            await self._tokens.ready(self._ask_token)
            generation = self._tokens.generation
        return await self._judged(self._request(call, operation, departure), operation, generation)

    async def _judged(
        self, request: Request, operation: Operation, generation: int | None, *, ours: bool = True
    ) -> Answer:
        """`generation` of the token that it carries, None if it carries none. `ours`: the connection's own server answers."""
        began = self._clock.monotonic()
        try:
            response = await self._sent(request)
            date = http_date(response.headers.get("date"))
            if ours:
                self._judge_server(request, operation, response, date, generation)
            answer = self._judge(request, operation, response, date)
        except MarketsyncError as error:
            self._observe(request, began, _outcome(error))
            raise
        self._observe(request, began, "ok")
        return answer

    async def _sent(self, request: Request) -> Response:
        try:
            return await self._transport.send(request)
        except InDoubt as error:
            if request.write:
                raise
            raise ReadFailed(str(error)) from None

    def _request(self, call: Call, operation: Operation, departure: Departure | None) -> Request:
        url = self._base_url + call.path
        content = (("Content-Type", call.content_type),) if call.body else ()
        headers = (*content, *call.headers, *self._signed(call, url, operation))
        body = self._auth.filled(call.body) if isinstance(self._auth, InBody) else call.body
        request = self._shaped(operation, call.method, url + _query_text(call.query), headers, body)
        return request if departure is None else replace(request, write=True, send_by=departure.send_by)

    def _signed(self, call: Call, url: str, operation: Operation) -> Pairs:
        if isinstance(self._auth, OAuth2):
            assert self._tokens is not None  # noqa: S101 - the constructor saw to it
            return (self._tokens.header(operation.auth_prefix),)
        nonce = self._random.token(NONCE_LENGTH) if isinstance(self._auth, OAuth1) else ""
        return self._auth.sign(call.method, url, call.query, call.body, now=self._now(), nonce=nonce)

    def _shaped(self, operation: Operation, method: str, url: str, headers: Pairs, body: bytes) -> Request:
        return Request(
            connection=self._connection,
            operation=operation.name,
            method=method,
            url=url,
            headers=(("Accept", "application/json"), *headers),
            body=body,
            connect_seconds=operation.connect_seconds,
            total_seconds=operation.total_seconds,
            body_bytes_max=operation.body_bytes_max,
        )

    def _judge_server(
        self, request: Request, operation: Operation, response: Response, date: datetime | None,
        generation: int | None,
    ) -> None:  # fmt: skip
        """Its clock, its pace, and what it thinks of our credentials."""
        # A 5xx may be a gateway's, with a clock of its own.
        if date is not None and response.status < 500:
            self._server_date = (date, response.received_at)
        self._budgets.told(operation.budget, response.headers)
        self._judge_access(request, response, generation)

    def _judge(
        self, request: Request, operation: Operation, response: Response, date: datetime | None
    ) -> Answer:
        if not 200 <= response.status < 300:
            self._raise_for(request, operation, response)
        return Answer(response.status, response.headers, response.body, date, response.received_at)

    def _judge_access(self, request: Request, response: Response, generation: int | None) -> None:
        """Credentials that are refused are tried once more, a token with a new one."""
        if generation is not None and self._tokens is not None and isinstance(self._auth, OAuth2):
            if self._auth.refused(response.status, response.body):
                self._tokens.was_refused(request.operation, generation, response.status)
            elif response.status < 400:
                self._tokens.accepted(request.operation)
            return
        refused_before, self._unauthorised = self._unauthorised, response.status == 401
        if response.status == 401 and not refused_before:
            raise Retry(f"{request.operation}: the credentials were refused (HTTP 401): tried once more")

    def _raise_for(self, request: Request, operation: Operation, response: Response) -> NoReturn:
        self._observer.event(
            "http.answer_refused",
            connection=self._connection,
            operation=request.operation,
            status=response.status,
            url=safe_url(request.url, self._base_url),
            headers=safe_headers(response.headers),
        )
        status, name = response.status, request.operation
        after = retry_after_seconds(response.headers.get("retry-after"), self._now())
        if status == 429 or (status == 503 and after is not None):
            after = self._block(operation, after)
        match status:
            case 401:
                raise PauseConnection(
                    f"{name}: the credentials were refused (HTTP 401): correct them, then resume the connection"
                )
            case 429:
                raise Retry(f"{name}: throttled (HTTP 429)", after, counted=False)
            case _ if 300 <= status < 500 and status != 408:
                raise Refused(name, status, response.body)
            case _ if request.write:
                # A gateway answers 408 and 5xx for a request that it may have passed on.
                raise InDoubt(f"{name}: HTTP {status}")
            case 503 if after is not None:
                raise Retry(f"{name}: not available (HTTP 503)", after, counted=False)
            case _:
                raise ReadFailed(f"{name}: HTTP {status}")

    def _block(self, operation: Operation, after: float | None) -> float:
        """The far side stopped the whole account: so does the bucket, a little longer for not all to wake at once."""
        period = self._budgets.period_seconds(operation.budget)
        seconds = min(max(period, SECONDS_MIN), SECONDS_MAX) if after is None else after
        self._budgets.block(operation.budget, seconds * self._random.uniform(1.0, 1.1))
        return seconds

    def _now(self) -> datetime:
        return self.server_now() or self._clock.now()

    def _waits(self) -> Iterator[float]:
        schedule = backoff.expo(base=2, factor=0.5, max_value=BACKOFF_SECONDS_MAX)
        next(schedule)
        for wait in schedule:
            yield self._random.uniform(wait / 2, wait)

    def _observe(self, request: Request, began: float, outcome: str) -> None:
        labels = {"connection": self._connection, "operation": request.operation}
        self._observer.observe("marketsync_http_seconds", self._clock.monotonic() - began, **labels)
        self._observer.count("marketsync_http_requests_total", 1, **labels, outcome=outcome)


def _next_call(operation: str, link: SplitResult, base: SplitResult) -> Call:
    if origin(link) != origin(base) or "@" in link.netloc or not link.path.startswith(f"{base.path}/"):
        raise ValueError("the next link leads away from the base URL")
    query = parse_qsl(link.query, keep_blank_values=True)
    kept = tuple((name, value) for name, value in query if not name.startswith("oauth_"))
    return Call(operation=operation, method="GET", path=link.path.removeprefix(base.path), query=kept)


def _query_text(query: tuple[tuple[str, str], ...]) -> str:
    """Encoded as OAuth1 signs it, so that both sides read the same parameters."""
    pairs = "&".join(f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in query)
    return f"?{pairs}" if pairs else ""


def _outcome(error: MarketsyncError) -> str:
    match error:
        case TooLate():
            return "too_late"
        case ReadFailed():
            return "failed"
        case Retry(counted=False):
            return "throttled"
        case Retry():
            return "not_sent"
        case InDoubt():
            return "in_doubt"
        case PauseConnection():
            return "unauthorised"
        case _:
            return "refused"
