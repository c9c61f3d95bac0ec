"""Calls of the contract as both roles make them, and what its refusals mean."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NoReturn, TypeVar

import msgspec

from adapters.rest import wire
from marketsync.domain.ids import ConnectionId
from marketsync.errors import ConfigError, Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Answer, ApiKey, Budget, Call, ConnectionPlan, Http, Operation, decode
from marketsync.ports import Departure, Traits

T = TypeVar("T")
CONTRACT = "1"
BURST = 20
BODY_BYTES_MAX = 16 * 1024 * 1024
GATEWAY = "something before the far side refused the request (HTTP 403)"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

Query = tuple[tuple[str, str], ...]


class Api:
    def __init__(self, http: Http) -> None:
        self._http = http

    async def fetch(self, operation: str, path: str, query: Query = ()) -> Answer:
        """The bare answer. Raises Refused for a 4xx that is not about our rights."""
        try:
            return await self._http.read(Call(operation, "GET", path, query))
        except Refused as refused:
            if refused.status != 403:
                raise
            _forbidden(refused)
            raise ReadFailed(f"{operation}: {GATEWAY}") from refused

    async def get(self, operation: str, path: str, kind: type[T], query: Query = ()) -> T:
        return decode(await self.fetch(operation, path, query), kind, write=False)

    async def find(self, operation: str, path: str, kind: type[T]) -> T | None:
        """None where the far side itself says that there is none: a bare 404 may be anybody's."""
        try:
            return await self.get(operation, path, kind)
        except Refused as refused:
            if refused.status == 404 and code_of(refused) == "unknown_order":
                return None
            raise ReadFailed(f"{operation}: HTTP {refused.status} is no answer to a look") from refused

    async def write(
        self, operation: str, method: str, path: str, departure: Departure, body: object = None
    ) -> Answer:
        """Raises Refused for what the writer is to judge."""
        content = b"" if body is None else msgspec.json.encode(body)
        try:
            return await self._http.write(Call(operation, method, path, body=content), departure)
        except Refused as refused:
            if refused.status != 403:
                raise
            _forbidden(refused)
            raise Retry(f"{operation}: {GATEWAY}") from refused

    async def about(self, operation: str, path: str) -> Traits:
        """What `check` shows; a problem where the far side keeps another contract."""
        try:
            answer = await self.fetch(operation, path)
        except Refused as refused:
            return Traits(problems=(f"HTTP {refused.status} for {path}: does `url` lead to the contract?",))
        stated = decode(answer, wire.About, write=False)
        if stated.contract != CONTRACT:
            problem = f"it keeps version {shown(stated.contract)} of the contract, and this adapter version {CONTRACT}"
            return Traits(problems=(problem,), server_date=answer.server_date)
        return Traits({"name": shown(stated.name), "contract": CONTRACT}, server_date=answer.server_date)


def code_of(refused: Refused) -> str:
    """The problem's own code, "" where the body is none of the contract's."""
    try:
        return msgspec.json.decode(refused.body, type=wire.Problem).code
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def parked(refused: Refused, *causes: str) -> NoReturn:
    """Nothing was applied, and nobody but a person can tell what to do."""
    said = f"{refused.operation} was refused with HTTP {refused.status} {code_of(refused)}".rstrip()
    raise Park(said, causes) from refused


def plan_of(
    url: str, token: str, *, credential: str, calls_per_minute: int, operations: tuple[str, ...], allow_private: bool
) -> ConnectionPlan:  # fmt: skip
    if calls_per_minute < 1:
        raise ConfigError("calls_per_minute: at least 1")
    if not token or _CONTROL.search(token):
        raise ConfigError("token: one line of text")
    return ConnectionPlan(
        base_url=url.rstrip("/"),
        auth=ApiKey("Authorization", f"Bearer {token}"),
        credential=f"rest:{url}:{credential}",
        budgets=(Budget("api", calls_per_minute, 60.0, min(BURST, calls_per_minute)),),
        operations=tuple(Operation(x, "api", body_bytes_max=BODY_BYTES_MAX) for x in operations),
        allow_private=allow_private,
    )


def amount_text(value: Decimal) -> str:
    """As the contract writes it: no exponent, no endless tail of zeros."""
    text = f"{value:f}"
    whole, dot, tail = text.partition(".")
    return text if len(tail) <= 6 else f"{whole}{dot}{tail.rstrip('0')}".rstrip(".")


def shown(stated: str, most: int = wire.TEXT_MAX) -> str:
    """For people and for documents: without control characters, and not endless."""
    return _CONTROL.sub("", stated).strip()[:most]


def is_name(text: str) -> bool:
    """Whether a store may keep it as a key."""
    return bool(text.strip()) and _CONTROL.search(text) is None


def carrier_cause(carrier: str, connection: ConnectionId) -> str:
    return f"carrier:{carrier}@{connection}"


def _forbidden(refused: Refused) -> None:
    if code_of(refused) == "forbidden":
        raise PauseConnection(f"{refused.operation}: the token may not do this (HTTP 403)") from refused
