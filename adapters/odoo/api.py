"""Odoo's two JSON protocols, and what its errors mean.

Each call is one transaction of its database, which an exception undoes. But an exception may also come after the commit,
from the answer that can't be written: so an error of a write is never taken for the word on what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from adapters.odoo.settings import Settings
from adapters.odoo.wire import Envelope, error_name, shown
from marketsync.errors import InDoubt, MarketsyncError, Park, PauseConnection, ReadFailed, Refused, Retry
from marketsync.http import Answer, Call, Http, Operation, decode
from marketsync.ports import Departure

T = TypeVar("T")

KEY_MARK = "\0api_key"
"""Where the key goes in a JSON-RPC body."""

OPERATIONS = tuple(
    Operation(name, "api", total_seconds=150.0, body_bytes_max=16 * 1024 * 1024)
    for name in ("orders.create", "orders.confirm", "orders.update", "orders.cancel")
) + tuple(
    Operation(name, "api", total_seconds=60.0, body_bytes_max=16 * 1024 * 1024)
    for name in ("orders.read", "parcels.read", "products.read", "shop.read", "shop.login")
)
BUSY_SECONDS = 5.0
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_BUSY = (
    "SerializationFailure", "DeadlockDetected", "LockNotAvailable", "ConcurrencyError", "LockError", "PoolError",
)  # fmt: skip
"""Others were at the same rows, and Odoo's own tries were used up."""
_RIGHTS = ("AccessDenied", "AccessError", "Unauthorized", "Forbidden", "SessionExpiredException")


class Fault(Exception):
    """Odoo's own error. `name` is the last word of its exception's."""

    def __init__(self, operation: str, name: str) -> None:
        super().__init__(name)
        self.operation, self.name = operation, shown(name)

    def decision(self, *, write: bool) -> MarketsyncError:
        """What it means where the write is known not to have happened, or where it is a read."""
        if self.name in _RIGHTS:
            return PauseConnection(
                f"{self.operation}: Odoo says {self.name}: the key is wrong, has ended, or its user may not do this"
            )
        if self.name in _BUSY:
            return Retry(f"{self.operation}: Odoo was busy with the same records ({self.name})", BUSY_SECONDS)
        if write:
            return Park(f"{self.operation} was refused by Odoo: {self.name}")
        return ReadFailed(f"{self.operation}: Odoo says {self.name}")


class Api:
    """`call` reads; `write` leaves once, and raises Fault where Odoo itself reports an error."""

    def __init__(self, http: Http, settings: Settings) -> None:
        self._http, self._settings = http, settings
        self._uid = 0

    async def call(
        self, operation: str, model: str, method: str, type_: type[T], *, ids: Sequence[int] | None = None,
        context: dict[str, Any] | None = None, **arguments: Any,
    ) -> T:  # fmt: skip
        try:
            call = await self._shaped(operation, model, method, ids, context, arguments)
            return decode(_result(call, await self._http.read(call)), type_, write=False)
        except Fault as fault:
            raise fault.decision(write=False) from None
        except Refused as refused:
            raise _fault_of(refused).decision(write=False) from refused

    async def search(
        self, operation: str, model: str, domain: list[Any], fields: Sequence[str], type_: type[T], *,
        context: dict[str, Any] | None = None, **arguments: Any,
    ) -> list[T]:  # fmt: skip
        """Every field that is asked for is one of ours: what comes back is verified by who asks."""
        return await self.call(
            operation, model, "search_read", list[type_], domain=domain, fields=list(fields), context=context, **arguments,  # type: ignore[valid-type]
        )  # fmt: skip

    async def write(
        self, operation: str, departure: Departure, model: str, method: str, *, ids: Sequence[int] | None = None,
        context: dict[str, Any] | None = None, **arguments: Any,
    ) -> Answer:  # fmt: skip
        """The answer with the result as its body; raises Fault besides what every write does."""
        call = await self._shaped(operation, model, method, ids, context, arguments)
        try:
            answer = await self._http.write(call, departure)
        except Refused as refused:
            raise _fault_of(refused) from refused
        return replace(answer, body=_result(call, answer, write=True).body)

    def server_now(self) -> datetime | None:
        return self._http.server_now()

    async def _shaped(
        self, operation: str, model: str, method: str, ids: Sequence[int] | None, context: dict[str, Any] | None,
        arguments: dict[str, Any],
    ) -> Call:  # fmt: skip
        known = {"allowed_company_ids": [self._settings.company_id]} if self._settings.company_id else {}
        context = {"lang": "en_US", "tz": "UTC", **known, **(context or {})}
        if self._settings.protocol == "json-2":
            body = {**({} if ids is None else {"ids": list(ids)}), "context": context, **arguments}
            database = (("X-Odoo-Database", self._settings.database),)
            return Call(operation, "POST", f"/json/2/{model}/{method}", body=_json(body), headers=database)
        given: list[Any] = [] if ids is None else [list(ids)]
        # The one method that older servers take by position alone.
        if method == "create":
            given.append(arguments.pop("vals_list"))
        named = {**arguments, "context": context}
        uid = await self._user()
        return _rpc(
            operation,
            "object",
            "execute_kw",
            self._settings.database,
            uid,
            KEY_MARK,
            model,
            method,
            given,
            named,
        )

    async def _user(self) -> int:
        """JSON-RPC knows its user by a number, which is asked for once."""
        if not self._uid:
            login = _rpc(
                "shop.login", "common", "login", self._settings.database, self._settings.login, KEY_MARK
            )
            try:
                answer = _result(login, await self._http.read(login))
            except Fault as fault:
                raise fault.decision(write=False) from None
            if answer.body == b"false":
                raise PauseConnection(
                    "shop.login: Odoo does not know this login with this key: correct them, then resume the connection"
                )
            self._uid = decode(answer, int, write=False)
        return self._uid


def _rpc(operation: str, service: str, method: str, *args: Any) -> Call:
    params = {"service": service, "method": method, "args": args}
    body = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
    return Call(operation, "POST", "/jsonrpc", body=_json(body))


def _result(call: Call, answer: Answer, *, write: bool = False) -> Answer:
    """The answer with the bare result as its body; raises Fault for an error under HTTP 200."""
    if call.path != "/jsonrpc":
        decode(answer, msgspec.Raw, write=write)
        return answer
    envelope = decode(answer, Envelope, write=write)
    if envelope.error is not None:
        raise Fault(call.operation, _last(envelope.error.data.name if envelope.error.data else ""))
    if not bytes(envelope.result):
        raise (InDoubt if write else ReadFailed)(f"{call.operation}: an answer without a result")
    return replace(answer, body=bytes(envelope.result))


def _fault_of(refused: Refused) -> Fault:
    """Raises where the refusal is not Odoo's own: then nothing was let through to it."""
    name = error_name(refused.body)
    if name:
        return Fault(refused.operation, _last(name))
    if refused.status == 403:
        raise Retry("a firewall before Odoo refused the request (HTTP 403)") from refused
    raise refused


def _last(name: str) -> str:
    return name.rpartition(".")[2] or "an error without a name"


def _json(body: Any) -> bytes:
    return _ENCODER.encode(body)
