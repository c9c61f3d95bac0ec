"""What is wrong with a request or an answer is found by either version of a description, and reasons speak for what they name."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from marketsync.kit.contract import Published, published
from marketsync.kit.quality import Contract
from marketsync.kit.registry import NotRun
from marketsync.ports import Request, Response

THING = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string"},
        "count": {"type": "integer"},
        "parts": {"type": "array", "items": {"allOf": [{"properties": {"name": {"type": "string"}}}]}},
        "free": {"type": "object"},
        "open": {"type": "object", "additionalProperties": {"properties": {"a": {}}}},
    },
}
QUERY: tuple[tuple[str, bool, dict[str, Any]], ...] = (
    ("page", True, {"type": "integer", "minimum": 1, "maximum": 9}),
    ("since", False, {"type": "string", "format": "date-time"}),
    ("all", False, {"type": "boolean"}),
    ("sort", False, {"type": "string", "enum": ["up", "down"]}),
)
LISTED = {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "maxItems": 2}


def new() -> dict[str, Any]:
    query = [{"in": "query", "name": x, "required": y, "schema": z} for x, y, z in QUERY]
    query.append({"in": "query", "name": "states", "explode": False, "schema": LISTED})
    query.append({"in": "header", "name": "X-Site", "required": True, "schema": {"type": "string"}})
    thing = {"schema": {"$ref": "#/components/schemas/Thing"}}
    post = {
        "operationId": "make",
        "requestBody": {"required": True, "content": {"application/json": thing}},
        "responses": {
            "200": {"content": {"application/json": thing}}, "207": {"description": ""}, "4XX": {"description": ""},
        },
    }  # fmt: skip
    return {
        "openapi": "3.0.0",
        "servers": [{"url": "https://vendor.example{base}", "variables": {"base": {"default": "/v1"}}}],
        "paths": {
            "/things/{id}": {
                "parameters": [{"in": "path", "name": "id", "required": True, "schema": {"maxLength": 5}}],
                "post": {**post, "parameters": query},
            },
            "/things/known": {"get": {"operationId": "look", "responses": {}}},
        },
        "components": {"schemas": {"Thing": THING}},
    }


def old() -> dict[str, Any]:
    query = [{"in": "query", "name": x, "required": y, **z} for x, y, z in QUERY]
    query.append({"in": "query", "name": "states", **LISTED})
    query.append({"in": "header", "name": "X-Site", "required": True, "type": "string"})
    thing = {"schema": {"$ref": "#/definitions/Thing"}}
    body = {"in": "body", "name": "body", "required": True, **thing}
    place = {"in": "path", "name": "id", "required": True, "type": "string", "maxLength": 5}
    responses = {"200": {"description": "", **thing}, "207": {"description": ""}, "400": {"description": ""}}
    make = {"operationId": "make", "parameters": [*query, body, place], "responses": responses}
    look = {"operationId": "look", "responses": {}}
    return {
        "swagger": "2.0",
        "basePath": "/v1",
        "consumes": ["application/json"],
        "paths": {"/things/{id}": {"post": make}, "/things/known": {"get": look}},
        "definitions": {"Thing": THING},
    }


@pytest.fixture(params=[old, new])
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = copy.deepcopy(request.param())
    return found


def described(folder: Path, document: dict[str, Any], **reasons: Any) -> Published:
    (folder / "vendor.json").write_text(json.dumps(document))
    return Published(Contract(("vendor.json",), **reasons), folder)


def asked(query: str = "page=1", body: Any = None, **changes: Any) -> Request:
    url = f"https://vendor.example/v1/things/{changes.pop('thing', 'x1')}?{query}"
    headers = changes.pop("headers", (("Content-Type", "application/json; charset=utf-8"), ("x-site", "1")))
    raw = json.dumps({"id": "1"} if body is None else body).encode()
    stated = {"operation": "make", "method": "POST", "headers": headers, "body": raw, **changes}
    return Request(connection="kit", url=url, **stated)


def answered(status: int, body: bytes, kind: str = "application/json") -> Response:
    return Response(status, {"content-type": kind}, body, 0.0)


SOUND = (
    asked(),
    asked("page=9&since=2026-03-01T00%3A00%3A00Z&all=true&sort=up&states=a,b"),
    asked(body={"id": "1", "count": 1, "parts": [{"name": "a"}], "free": {"b": 1}, "open": {"b": {"a": 1}}}),
)
WRONG = (
    (asked("page=1&more=1"), "has a parameter more that is not described"),
    (asked(""), "lacks the parameter page"),
    (asked("page=0"), "parameter page breaks minimum 1"),
    (asked("page=x"), "parameter page is no integer"),
    (asked("page="), "parameter page is empty"),
    (asked("page=1&page=2"), "parameter page is given more than once"),
    (asked("page=1&since=2026-03-01T00:00:00"), "parameter since is no date-time"),
    (asked("page=1&all=yes"), "parameter all is no boolean"),
    (asked("page=1&sort=left"), 'parameter sort breaks enum ["up", "down"]'),
    (asked("page=1&states=a,c"), 'parameter states breaks enum ["a", "b"]'),
    (asked("page=1&states=a,b,a"), "parameter states has 3 values"),
    (asked(thing="x12345"), "id in the path breaks maxLength 5"),
    (asked(headers=(("Content-Type", "application/json"),)), "lacks the header X-Site"),
    (asked(headers=(("X-Site", "1"), ("Content-Type", "text/csv"))), "sends text/csv, and not application/json"),
    (asked(body={"count": 1}), "the body $ 'id' is a required property"),
    (asked(body={"id": "1", "count": "secret"}), 'the body $.count breaks type "integer"'),
    (asked(body={"id": "1", "colour": "red"}), "the body $.colour is not described"),
    (asked(body={"id": "1", "parts": [{"name": "a", "size": 1}]}), "the body $.parts[0].size is not described"),
    (asked(body={"id": "1", "open": {"b": {"c": 1}}}), "the body $.open.b.c is not described"),
    (asked(operation="look"), "calls make"),
)  # fmt: skip


@pytest.mark.parametrize("request_", SOUND)
def test_a_sound_request_is_passed(tmp_path: Path, document: dict[str, Any], request_: Request) -> None:
    assert list(described(tmp_path, document).request(request_)) == []


@pytest.mark.parametrize(
    "request_, sentence", WRONG, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_wrong_with_a_request_is_said_once_and_without_its_values(
    tmp_path: Path, document: dict[str, Any], request_: Request, sentence: str
) -> None:
    said = list(described(tmp_path, document).request(request_))
    assert said == [f"{request_.operation}: {sentence}"]


def test_a_body_is_needed_or_not_taken(tmp_path: Path, document: dict[str, Any]) -> None:
    given = described(tmp_path, document)
    empty = Request("kit", "make", "POST", asked().url, asked().headers, b"")
    assert list(given.request(empty)) == ["make: lacks the body"]
    look = Request("kit", "look", "GET", "https://vendor.example/v1/things/known", (), b"{}")
    assert list(given.request(look)) == ["look: has a body, and none is described"]


@pytest.mark.parametrize(
    "response, sentences",
    [
        (answered(200, b'{"id": "1"}'), []),
        (answered(400, b"anything"), []),
        (answered(207, b""), []),
        (answered(500, b""), ["the answer 500 is not listed"]),
        (answered(200, b"<html>"), ["the answer 200 is no JSON"]),
        (answered(200, b'{"id": null}'), ['the answer 200 $.id breaks type "string"']),
        (answered(200, b'{"id": "1", "id2": 1}'), ["the answer 200 $.id2 is not described"]),
        (answered(200, b"a;b", "text/csv"), ["answers text/csv, and not application/json"]),
        (
            answered(207, b'{"id2": "1"}'),
            ["the answer 207 has a body, and none is described", "the answer 207 $ 'id' is a required property",
             "the answer 207 $.id2 is not described"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_answer_is_said(
    tmp_path: Path, document: dict[str, Any], response: Response, sentences: list[str]
) -> None:
    given = described(tmp_path, document)
    assert list(given.answer(asked(), response)) == [f"make: {sentence}" for sentence in sentences]


def test_a_reason_speaks_for_what_it_names_and_is_told_when_it_has_nothing_to_say(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    reasons = {
        "undescribed": {"token": "-", "spare": "-"}, "uncalled": {"look": "-", "make": "-"}, "prose": {"more": "-", "less": "-"},
        "partly": {"make": "-", "look": "-"}, "nulls": "-",
    }  # fmt: skip
    given = described(tmp_path, document, **reasons)
    token = Request("kit", "token", "POST", "https://vendor.example/token", (), b"")
    sent = [asked("page=1&more=1"), token]
    assert [*(said for request in sent for said in given.request(request))] == []
    assert list(given.calls(["make", "look", "token", "spare", "other"], sent)) == ["other: is never called"]
    for status, body in ((207, b'{"count": null}'), (500, b"")):
        assert list(given.answer(asked(), answered(status, body))) == []
    idle = list(given.idle("undescribed", "uncalled", "prose", "partly", "nulls"))
    assert idle == [
        f"[vendor.contract] {name}: the reason is not needed any more"
        for name in ("uncalled make", "prose less", "partly look")
    ]
    assert list(given.unread()) == []


def test_without_a_folder_or_a_document_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARKETSYNC_CONTRACTS", raising=False)
    with pytest.raises(NotRun, match="names no folder"):
        published(Contract(("vendor.json",)))
    monkeypatch.setenv("MARKETSYNC_CONTRACTS", str(tmp_path))
    with pytest.raises(NotRun, match=r"vendor\.json"):
        published(Contract(("vendor.json",)))
    (tmp_path / "vendor.json").write_text(json.dumps(new()))
    found = published(Contract(("vendor.json", "more.json")))
    assert list(found.unread()) == [
        "[vendor.contract] more.json is not in the folder",
        "[vendor.contract] vendor.json describes nothing that is called",
    ]


def test_without_jsonschema_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(NotRun, match=r"marketsync\[kit\]"):
        described(tmp_path, new())


def test_the_fields_of_a_form_are_compared_by_name(tmp_path: Path) -> None:
    document = new()
    schema = {"required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
    document["paths"]["/things/{id}"]["post"]["requestBody"]["content"] = {
        "multipart/form-data": {"schema": schema}
    }
    given = described(tmp_path, document)
    headers = (("Content-Type", "multipart/form-data; boundary=x"), ("X-Site", "1"))

    def form(name: str) -> Request:
        body = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.csv"\r\n\r\n1\r\n--x--'
        return Request("kit", "make", "POST", asked().url, headers, body.encode())

    assert list(given.request(form("file"))) == []
    assert list(given.request(form("files"))) == [
        "make: the form $ 'file' is a required property", "make: the form $.files is not described",
    ]  # fmt: skip
