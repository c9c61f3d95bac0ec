"""HTTP for an object whose methods are named as the contract's operations (`create_order` for createOrder), with nothing but
Python: tokens, sizes, routes, problems. It hands over only what docs/rest.openapi.json allows: path, query and body are checked
by the contract's own schemas, of which `check` knows as much of JSON Schema as they use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

BODY_BYTES_MAX = 1024 * 1024
CONTRACT = json.loads((Path(__file__).parents[1] / "docs" / "rest.openapi.json").read_text())
PARTS = CONTRACT["components"]
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}


class Problem(Exception):
    """An answer that is no success: its status, its code, and perhaps which field."""

    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.document = {
            "type": "about:blank",
            "title": code.replace("_", " "),
            "status": status,
            "code": code,
        }
        if detail:
            self.document["detail"] = detail


def answer(shop: object, token: str, method: str, target: str, headers: Any, body: bytes) -> tuple[int, Any]:
    """The status and the document; raises Problem. `headers` knows its names whatever their case."""
    if headers.get("Authorization") != f"Bearer {token}":
        raise Problem(401, "unauthorised")
    path, _, query = target.partition("?")
    for template, item in CONTRACT["paths"].items():
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
        if not found or method.lower() not in item:
            continue
        operation = item[method.lower()]
        does = getattr(shop, re.sub("([A-Z])", r"_\1", operation["operationId"]).lower(), None)
        if does is None:
            break
        stated = [*item.get("parameters", ()), *operation.get("parameters", ())]
        arguments = {name: unquote(text) for name, text in found.groupdict().items()}
        arguments |= _arguments(stated, arguments, parse_qs(query))
        if "requestBody" in operation:
            if not headers.get("Content-Type", "").startswith("application/json"):
                raise Problem(415, "wrong_type", "application/json is expected")
            arguments["body"] = _read(operation["requestBody"]["content"]["application/json"]["schema"], body)
        return does(**arguments)
    raise Problem(404, "unknown_path")


def check(schema: Mapping[str, Any], x: Any, at: str) -> bool:
    """In the order in which the contract writes them: the type of a thing comes before its limits."""
    for key, rule in schema.items():
        if key in RULES and not RULES[key](rule, x, at):
            raise Problem(400, "malformed", at)
    return True


def page(
    name: str, rows: Iterable[dict[str, Any]], key: str, cursor: str | None, limit: int
) -> dict[str, Any]:
    """By key and id, on from behind the last row that was given before."""
    keyed = sorted(((f"{_text(row[key])} {row['id']}", row) for row in rows), key=lambda pair: pair[0])
    left = [(at, row) for at, row in keyed if at > (cursor or "")]
    following = left[limit - 1][0] if len(left) > limit else None
    return {name: [row for _, row in left[:limit]], "next": following}


def serve(shop: object, token: str, port: int) -> HTTPServer:
    """One request after the other; port 0 takes a free one. What runs it says `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            try:
                self.reply(*answer(shop, token, self.command, self.path, self.headers, self.body()))
            except Problem as problem:
                self.reply(problem.status, problem.document)

        do_GET = do_PUT = do_POST

        def body(self) -> bytes:
            length = self.headers.get("Content-Length", "0")
            if not re.fullmatch("[0-9]{1,9}", length):
                raise Problem(400, "malformed", "Content-Length")
            if int(length) > BODY_BYTES_MAX:
                raise Problem(413, "too_large", f"at most {BODY_BYTES_MAX} bytes")
            return self.rfile.read(int(length))

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            """What the library itself refuses: no HTTP, or a method that nobody knows."""
            status = 405 if code == 501 else min(code, 499)
            self.reply(status, Problem(status, "malformed", "no request of the contract").document)

        def reply(self, status: int, document: Any) -> None:
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", f"application/{'problem+' if status >= 400 else ''}json")
            self.end_headers()
            self.wfile.write(json.dumps(document, default=_text).encode())

    return HTTPServer(("127.0.0.1", port), Handler)


def _arguments(stated: list[Any], own: Mapping[str, str], query: Mapping[str, list[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for named in stated:
        parameter = PARTS["parameters"].get(named.get("$ref", "").rpartition("/")[2], named)
        name, schema = parameter["name"], parameter["schema"]
        given = own.get(name) if parameter["in"] == "path" else query.get(name, schema.get("default"))
        if isinstance(given, list) and schema.get("type") != "array":
            given = given[0]
            if schema.get("type") == "integer":
                given = int(given) if re.fullmatch("[0-9]{1,9}", given) else None
                check(schema, given, name)
        if given is not None:
            check(schema, given, name)
            given = datetime.fromisoformat(given) if schema.get("$ref", "").endswith("/Time") else given
        found[name] = given
    return found


def _read(schema: Mapping[str, Any], body: bytes) -> Any:
    """A lone surrogate is no text, NaN is no number."""
    try:
        x = json.loads(body)
        json.dumps(x, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Problem(400, "malformed", "the body is not JSON in UTF-8") from None
    check(schema, x, "$")
    return x


def _text(x: str | datetime) -> str:
    return x.astimezone(UTC).isoformat(timespec="microseconds") if isinstance(x, datetime) else x


def _is_time(x: str) -> bool:
    try:
        return datetime.fromisoformat(x) is not None
    except ValueError:
        return False


RULES: dict[str, Callable[[Any, Any, str], Any]] = {
    "$ref": lambda name, x, at: check(PARTS["schemas"][name.rpartition("/")[2]], x, at),
    "allOf": lambda parts, x, at: all(check(part, x, at) for part in parts),
    "anyOf": lambda parts, x, at: x is None or check(parts[0], x, at),
    "type": lambda name, x, _: type(x) is TYPES[name],
    "enum": lambda values, x, _: x in values,
    "pattern": lambda pattern, x, _: re.search(pattern, x),
    "format": lambda _, x, __: _is_time(x),
    "minimum": lambda least, x, _: least <= x,
    "maximum": lambda most, x, _: x <= most,
    **dict.fromkeys(("minLength", "minItems"), lambda least, x, _: least <= len(x)),
    **dict.fromkeys(("maxLength", "maxItems"), lambda most, x, _: len(x) <= most),
    "required": lambda names, x, _: all(name in x for name in names),
    "properties": lambda parts, x, at: all(check(part, x[key], f"{at}.{key}") for key, part in parts.items()),
    "items": lambda part, x, at: all(check(part, y, f"{at}[{i}]") for i, y in enumerate(x)),
}
