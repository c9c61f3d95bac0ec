"""A simulated Odoo server: both protocols, pure, stateful, and strict in the ways in which a real one was seen to be."""

from __future__ import annotations

import hmac
import inspect
import re
from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from adapters.odoo import sandbox_orm as orm
from adapters.odoo.sandbox_orm import OdooError
from adapters.odoo.sandbox_shop import OdooShop
from adapters.odoo.sandbox_writes import Writes
from marketsync.ports import Request, Response

STATUSES = {
    "odoo.exceptions.AccessDenied": 403, "odoo.exceptions.AccessError": 403, "odoo.exceptions.MissingError": 404,
    "odoo.exceptions.UserError": 422, "odoo.exceptions.ValidationError": 422, "werkzeug.exceptions.NotFound": 404,
    "werkzeug.exceptions.Unauthorized": 401, "werkzeug.exceptions.UnprocessableEntity": 422,
}  # fmt: skip
COPIED = ("sale.order", "sale.order.line")
BEFORE = datetime.min.replace(tzinfo=UTC)
_JSON_2 = re.compile(r"/json/2/([a-z.]+)/([a-z_]+)")
_NO_DATABASE = b"<!DOCTYPE html>\n<title>404 Not Found</title>\n<p>No database is selected.</p>"
_WRITES = ("create", "write", "load", "action_confirm", "action_cancel", "button_validate")


class Faults(msgspec.Struct):
    """How many of the next writes meet a fault. `busy` ones are undone with a SerializationFailure; what `unsaid` ones did
    stands, and their answer can't be written: an error comes all the same."""

    busy: int = 0
    unsaid: int = 0


class OdooSandbox:
    """`clock_skew` is the server's clock less ours. JSON-2 is there from version 19 on. Orders and their lines are read from a
    copy of the database that is `list_lag` behind, whatever its clock says. People act through `shop`."""

    def __init__(
        self, shop: OdooShop | None = None, *, database: str = "demo", login: str = "bot", key: str = "key_demo",
        version: int = 19, clock_skew: timedelta = timedelta(0), list_lag: timedelta = timedelta(0),
    ) -> None:  # fmt: skip
        self.shop = shop or OdooShop()
        self.faults = Faults()
        self.clock_skew = clock_skew
        self._database, self._login, self._key, self._version = database, login, key, version
        self._list_lag = list_lag
        self._writes = Writes(self.shop)
        self._models = orm.models(self.shop)
        self._arrived = BEFORE
        self._copied: list[tuple[datetime, dict[str, orm.Model]]] = []
        self._copy(BEFORE)

    def handle(self, request: Request, now: datetime) -> Response:
        self._arrived, now = now, (now + self.clock_skew).replace(microsecond=0)
        if len(self.shop.log) != self._known:
            self._copy(self.shop.log[-1].at)
        status, body = self._answer(request, now)
        headers = {
            "content-type": "application/json; charset=utf-8",
            "date": format_datetime(now, usegmt=True),
        }
        if isinstance(body, bytes):
            return Response(
                status, {**headers, "content-type": "text/html; charset=utf-8"}, body, now.timestamp()
            )
        return Response(status, headers, msgspec.json.encode(body), now.timestamp())

    def _answer(self, request: Request, now: datetime) -> tuple[int, Any]:
        path = urlsplit(request.url).path
        if request.method != "POST":
            return 405, "Method Not Allowed"
        try:
            body = msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            return 400, "Bad Request"
        if path == "/jsonrpc":
            return 200, self._rpc(body, now)
        match = _JSON_2.fullmatch(path)
        if match is None or self._version < 19:
            return 404, "Not Found"
        try:
            if not self._authorise(request):
                return 404, _NO_DATABASE
            self._check_exists(match[1], match[2])
            return 200, self._called(match[1], match[2], dict(body), now)
        except OdooError as error:
            shown = {
                "name": error.name,
                "message": error.message,
                "arguments": [error.message],
                "context": {},
                "debug": "",
            }
            return STATUSES.get(error.name, 500), shown

    def _authorise(self, request: Request) -> bool:
        """False for a database that is not there: then no key is looked at."""
        headers = {name.lower(): value for name, value in request.headers}
        if headers.get("x-odoo-database") != self._database:
            return False
        given = headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"bearer {self._key}".encode()):
            raise OdooError("werkzeug.exceptions.Unauthorized", "Invalid apikey")
        return True

    def _check_exists(self, model: str, method: str) -> None:
        """What is unknown has other names in the older protocol."""
        orm.model_of(self._models, model)
        known = ((model, method), ("*", method))
        if not method.startswith("_") and not any(pair in self._methods() for pair in known):
            raise OdooError("werkzeug.exceptions.NotFound", f"The method '{model}.{method}' does not exist")

    def _rpc(self, body: Any, now: datetime) -> Any:
        """Every error comes under HTTP 200."""
        head = {"jsonrpc": "2.0", "id": body.get("id")}
        try:
            return {**head, "result": self._served(body["params"], now)}
        except OdooError as error:
            data = {
                "name": error.name,
                "message": error.message,
                "arguments": [error.message],
                "context": {},
                "debug": "",
            }
            return {**head, "error": {"code": 200, "message": "Odoo Server Error", "data": data}}

    def _served(self, params: Mapping[str, Any], now: datetime) -> Any:
        match params["service"], params["method"], params["args"]:
            case _, _, [database, *_] if database != self._database:
                raise OdooError("psycopg2.OperationalError", "the database does not exist")
            case "common", "login", [_, login, key]:
                return (
                    2
                    if login == self._login and hmac.compare_digest(str(key).encode(), self._key.encode())
                    else False
                )
            case "object", "execute_kw", [_, uid, key, model, method, args, named]:
                if uid != 2 or not (hmac.compare_digest(str(key).encode(), self._key.encode())):
                    raise OdooError("odoo.exceptions.AccessDenied", "Access Denied")
                if model not in self._models:
                    raise OdooError("odoo.exceptions.UserError", f"Object {model} doesn't exist")
                return self._called(model, method, self._by_name(method, args, dict(named)), now)
            case _:
                raise OdooError("builtins.KeyError", "no such method")

    def _by_name(self, method: str, args: list[Any], named: dict[str, Any]) -> dict[str, Any]:
        """`create` alone is taken by position alone."""
        if method == "create":
            if "vals_list" in named or len(args) != 1:
                raise OdooError("builtins.IndexError", "create takes its values by position")
            return {**named, "vals_list": args[0]}
        return {**named, "ids": args[0]} if args else named

    def _called(self, model: str, method: str, arguments: dict[str, Any], now: datetime) -> Any:
        """Arguments by name, as the method of the model has them; any other is an error."""
        orm.model_of(self._models, model)
        if method.startswith("_"):
            raise OdooError("odoo.exceptions.AccessError", "Private methods cannot be called remotely.")
        if (model, method) not in self._methods() and ("*", method) not in self._methods():
            raise OdooError("builtins.AttributeError", f"{model} has no method {method}")
        context = arguments.pop("context", {})
        call = self._methods().get((model, method)) or self._methods()["*", method]
        try:
            inspect.signature(call).bind(model, context, now, **arguments)
        except TypeError as error:
            raise OdooError("builtins.TypeError", str(error)) from None
        if method not in _WRITES:
            return call(model, context, now, **arguments)
        if self.faults.busy:
            self.faults.busy -= 1
            if method == "load":
                # It takes what its database says for a bad row.
                words = "could not serialize access due to concurrent update\n"
                return {
                    "ids": False,
                    "messages": [{"type": "error", "record": 0, "message": words}],
                    "nextrow": 0,
                }
            raise OdooError("psycopg2.errors.SerializationFailure", "could not serialize access")
        result = call(model, context, now, **arguments)
        self._copy(self._arrived)
        if self.faults.unsaid:
            self.faults.unsaid -= 1
            raise OdooError("builtins.TypeError", "cannot marshal None unless allow_none is enabled")
        return result

    def _methods(self) -> dict[tuple[str, str], Callable[..., Any]]:
        return {
            ("*", "search_read"): self._search_read,
            ("*", "search_count"): self._search_count,
            ("*", "fields_get"): self._fields_get,
            ("res.partner", "create"): self._create,
            ("res.partner", "load"): self._load,
            ("res.partner", "write"): self._write,
            ("sale.order", "write"): self._write,
            ("sale.order", "action_confirm"): lambda _, __, now, ids: self._writes.confirm(ids, now),
            ("sale.order", "action_cancel"): lambda _, context, now, ids: self._writes.cancel(
                ids, context, now
            ),
            ("stock.picking", "button_validate"): lambda _, context, now, ids: self._writes.validate(
                ids, context, now
            ),
            ("stock.picking", "write"): lambda model, _, __, ids, vals: self._writes.write_delivery(
                model, ids, vals
            ),
            ("stock.move", "write"): lambda model, _, __, ids, vals: self._writes.write_delivery(
                model, ids, vals
            ),
        }

    def _search_read(
        self, model: str, context: Mapping[str, Any], now: datetime, domain: list[Any], fields: list[str],
        limit: int | None = None, offset: int = 0, order: str = "",
    ) -> Any:  # fmt: skip
        del context
        models = self._copy_of_now() if self._list_lag and model in COPIED else self._models
        rows = orm.search(models, model, domain, order or "id")
        rows = rows[offset : None if limit is None else offset + limit]
        return orm.read(models, model, rows, fields)

    def _copy(self, at: datetime) -> None:
        """What people did is noted with the next request."""
        self._known = len(self.shop.log)
        if self._list_lag:
            copied = copy(self.shop)
            copied.orders = deepcopy(self.shop.orders)
            self._copied.append((at, orm.models(copied)))

    def _copy_of_now(self) -> dict[str, orm.Model]:
        while len(self._copied) > 1 and self._copied[1][0] <= self._arrived - self._list_lag:
            self._copied.pop(0)
        return self._copied[0][1]

    def _search_count(self, model: str, context: Mapping[str, Any], now: datetime, domain: list[Any]) -> int:
        del context, now
        return len(orm.search(self._models, model, domain))

    def _fields_get(
        self,
        model: str,
        context: Mapping[str, Any],
        now: datetime,
        allfields: list[str],
        attributes: list[str],
    ) -> Any:
        del context, now, attributes
        known = orm.model_of(self._models, model).fields
        return {name: {"type": "char"} for name in allfields if name in known}

    def _create(
        self, model: str, context: Mapping[str, Any], now: datetime, vals_list: list[dict[str, Any]]
    ) -> Any:
        del context
        return self._writes.create(model, vals_list, now)

    def _load(
        self, model: str, context: Mapping[str, Any], now: datetime, fields: list[str], data: list[list[str]]
    ) -> Any:
        del context
        return self._writes.load(model, fields, data, now)

    def _write(
        self, model: str, context: Mapping[str, Any], now: datetime, ids: list[int], vals: dict[str, Any]
    ) -> Any:
        del context
        return self._writes.write(model, ids, vals, now)
