"""OpenAPI 2.0 and 3.x as far as a request and an answer can be held against them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from marketsync.ports import Request, Response

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
JSON_TYPES = ("application/json", "*+json")
BOUNDS = (
    "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "allOf", "anyOf",
    "oneOf",
)  # fmt: skip
SHOWN_MAX = 60

Json = dict[str, Any]


class Wrong(msgspec.Struct, frozen=True):
    """`excuse`: the field and the name in [vendor.contract] of a reason that would speak for it."""

    text: str
    excuse: tuple[str, str] = ("", "")


class Document:
    """`names` are its operations by their ids, or by the first word of their summaries."""

    def __init__(self, root: Json, base_path: str = "") -> None:
        self.root = root
        self.version = str(root.get("openapi") or root.get("swagger") or "")
        base = (base_path or self._stated_base()).rstrip("/")
        self._operations = [
            (base + path, method, item, item[method])
            for path, item in root["paths"].items()
            for method in METHODS
            if method in item
        ]
        self.names = dict.fromkeys(_name(operation) for *_, operation in self._operations)

    def find(self, method: str, path: str) -> Iterator[Described]:
        for template, known, item, operation in self._operations:
            found = _pattern(template).fullmatch(path) if known == method.lower() else None
            if found:
                names = re.findall(r"\{([^}]+)\}", template)
                values = [unquote(value) for value in found.groups()]
                yield Described(self, item, operation, dict(zip(names, values, strict=True)))

    def resolved(self, node: Json) -> Json:
        while "$ref" in node:
            found: Any = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[unquote(part).replace("~1", "/").replace("~0", "~")]
            node = found
        return node

    def wrong_value(self, schema: Json, value: Any) -> Iterator[tuple[str, Wrong]]:
        """(place, what): where the value leaves the schema, and what it names that the schema does not."""
        for error in self._errors(schema, value):
            if error.instance is None and error.schema.get("nullable"):
                continue
            bound = json.dumps(error.validator_value)[:SHOWN_MAX]
            # Of what is missing the library names the field; of anything else it quotes the value.
            why = error.message if error.validator == "required" else f"breaks {error.validator} {bound}"
            excuse = ("nulls", "") if error.instance is None else ("", "")
            yield error.validator, Wrong(f"{error.json_path} {why}", excuse)
        yield from (("", Wrong(f"{path} is not described")) for path in self.strangers([schema], value))

    def strangers(self, schemas: Sequence[Json], value: Any, path: str = "$") -> Iterator[str]:
        """Keys that none of the schemas names. An object of which nothing is said may have any."""
        parts = [part for schema in schemas for part in self._parts(schema)]
        if isinstance(value, list):
            items = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
            for number, entry in enumerate(value):
                yield from self.strangers(items, entry, f"{path}[{number}]")
        if not isinstance(value, dict):
            return
        named: dict[str, list[Json]] = {}
        for part in parts:
            for key, schema in part.get("properties", {}).items():
                named.setdefault(key, []).append(schema)
        others = [x for part in parts if (x := part.get("additionalProperties", "patternProperties" in part))]
        for key, entry in value.items():
            if key in named or others:
                known = named.get(key) or [schema for schema in others if isinstance(schema, dict)]
                yield from self.strangers(known, entry, f"{path}.{key}")
            elif named:
                yield f"{path}.{key}"

    def _parts(self, schema: Json) -> Iterator[Json]:
        """The schema and all that it is made of, or may be."""
        schema = self.resolved(schema)
        yield schema
        for word in ("allOf", "anyOf", "oneOf"):
            for part in schema.get(word, ()):
                yield from self._parts(part)

    def _errors(self, schema: Json, value: Any) -> Iterator[Any]:
        from jsonschema import Draft4Validator, Draft202012Validator

        kind = Draft202012Validator if self.version.startswith("3.1") else Draft4Validator
        shared = {key: self.root[key] for key in ("definitions", "components") if key in self.root}
        return iter(kind({**schema, **shared}).iter_errors(value))

    def _stated_base(self) -> str:
        if "basePath" in self.root:
            return str(self.root["basePath"])
        server: Json = next(iter(self.root.get("servers", ())), {"url": ""})
        url = str(server["url"])
        for name, variable in server.get("variables", {}).items():
            url = url.replace(f"{{{name}}}", str(variable["default"]))
        return urlsplit(url).path


class Described:
    """One operation of a document, as a request has found it; `in_path` are the values in the path, by name."""

    def __init__(self, document: Document, item: Json, operation: Json, in_path: Mapping[str, str]) -> None:
        self.document, self.operation, self.in_path = document, operation, in_path
        stated = [
            document.resolved(x) for x in (*item.get("parameters", ()), *operation.get("parameters", ()))
        ]
        self._parameters = {(x["in"], x["name"]): x for x in stated}
        self.name = _name(operation)

    # A request

    def wrong_request(self, request: Request) -> Iterator[Wrong]:
        yield from self._wrong_query(parse_qsl(urlsplit(request.url).query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in request.headers}
        for (place, name), parameter in self._parameters.items():
            if place == "path" and name in self.in_path:
                for why in self._wrong_values(parameter, [self.in_path[name]]):
                    yield Wrong(f"{name} in the path {why}")
            if place == "header" and parameter.get("required") and name.lower() not in headers:
                yield Wrong(f"lacks the header {name}")
        media = _media(headers.get("content-type", ""))
        if any(place.lower() == "formdata" for place, _ in self._parameters):
            yield from self._wrong_form(media, request.body)
        else:
            yield from self._wrong_body(media, request.body)

    def _wrong_query(self, query: Sequence[tuple[str, str]]) -> Iterator[Wrong]:
        given: dict[str, list[str]] = {}
        for name, value in query:
            given.setdefault(name, []).append(value)
        for name, values in given.items():
            parameter = self._parameters.get(("query", name))
            if parameter is None:
                yield Wrong(f"has a parameter {name} that is not described", ("prose", name))
            else:
                yield from (Wrong(f"parameter {name} {why}") for why in self._wrong_values(parameter, values))
        for (place, name), parameter in self._parameters.items():
            if place == "query" and parameter.get("required") and name not in given:
                yield Wrong(f"lacks the parameter {name}")

    def _wrong_values(self, parameter: Json, texts: list[str]) -> Iterator[str]:
        schema = self.document.resolved(parameter.get("schema", parameter))
        if schema.get("type") != "array":
            if len(texts) > 1:
                yield "is given more than once"
            yield from self._wrong_text(schema, texts[0], empty=parameter.get("allowEmptyValue", False))
            return
        repeated = parameter.get("collectionFormat") == "multi" or (
            "schema" in parameter and parameter.get("explode", True)
        )
        values = texts if repeated else texts[0].split(",")
        if not schema.get("minItems", 0) <= len(values) <= schema.get("maxItems", len(values)):
            yield f"has {len(values)} values"
        items = self.document.resolved(schema.get("items", {}))
        yield from dict.fromkeys(why for value in values for why in self._wrong_text(items, value))

    def _wrong_text(self, schema: Json, text: str, *, empty: bool = False) -> Iterator[str]:
        if not text:
            yield from () if empty else ("is empty",)
            return
        typed = _typed(schema.get("type", ""), text)
        if typed is None:
            yield f"is no {schema['type']}"
            return
        if schema.get("format") == "date-time" and not _is_moment(text):
            yield "is no date-time"
        rest = {key: schema[key] for key in BOUNDS if key in schema}
        yield from (wrong.text.removeprefix("$ ") for _, wrong in self.document.wrong_value(rest, typed))

    def _wrong_body(self, media: str, body: bytes) -> Iterator[Wrong]:
        content, needed = self._taken()
        if not body:
            yield from [Wrong("lacks the body")] if needed else []
            return
        if content is None:
            yield Wrong("has a body, and none is described")
            return
        kind = _matching(content, media)
        if kind is None:
            yield Wrong(f"sends {media or 'no content type'}, and not {' or '.join(content)}")
        elif _is_json(media):
            yield from self._wrong_json(content[kind], body)
        elif media.startswith("multipart/") or media == "application/x-www-form-urlencoded":
            found = self.document.wrong_value(content[kind], _field_names(media, body))
            yield from (
                Wrong(f"the form {x.text}") for validator, x in found if validator in ("required", "")
            )

    def _wrong_form(self, media: str, body: bytes) -> Iterator[Wrong]:
        """Of OpenAPI 2.0, where fields are parameters."""
        fields = {name: x for (place, name), x in self._parameters.items() if place.lower() == "formdata"}
        given = _field_names(media, body)
        yield from (
            Wrong(f"has a field {name} that is not described") for name in given if name not in fields
        )
        for name, parameter in fields.items():
            if parameter.get("required") and name not in given:
                yield Wrong(f"lacks the field {name}")

    def _taken(self) -> tuple[dict[str, Json] | None, bool]:
        """The schemas of the body by content type, None where there is to be none; and whether there must be one."""
        stated = self.document.resolved(self.operation.get("requestBody", {}))
        if stated:
            content = {kind: x.get("schema", {}) for kind, x in stated.get("content", {}).items()}
            return content, bool(stated.get("required"))
        body = next((x for (place, _), x in self._parameters.items() if place == "body"), None)
        if body is None:
            return None, False
        kinds = self.operation.get("consumes") or self.document.root.get("consumes") or ["application/json"]
        return {kind: body.get("schema", {}) for kind in kinds}, bool(body.get("required"))

    # An answer

    def wrong_answer(self, operation: str, response: Response) -> Iterator[Wrong]:
        """A listed refusal of which no body is described may have any; a listed success may not."""
        found = self._listed(str(response.status))
        partly = ("partly", operation)
        if found is None:
            yield Wrong(
                f"the answer {response.status} is not listed", partly if response.status >= 400 else ("", "")
            )
            return
        content = self._given(found)
        if not response.body or (not content and response.status >= 400):
            return
        if not content:
            yield Wrong(f"the answer {response.status} has a body, and none is described", partly)
            content = self._given(self._listed("200") or {})
        media = _media(response.headers.get("content-type", "")) or next(iter(content), "")
        kind = _matching(content, media)
        if content and kind is None:
            yield Wrong(f"answers {media}, and not {' or '.join(content)}")
        elif kind is not None and _is_json(media):
            yield from self._wrong_json(
                content[kind], response.body, f"the answer {response.status} ", partly
            )

    def _listed(self, status: str) -> Json | None:
        listed = self.operation.get("responses", {})
        found = next((listed[key] for key in (status, f"{status[0]}XX", "default") if key in listed), None)
        return None if found is None else self.document.resolved(found)

    def _given(self, stated: Json) -> dict[str, Json]:
        if "schema" in stated:
            kinds = (
                self.operation.get("produces") or self.document.root.get("produces") or ["application/json"]
            )
            return {kind: dict(stated["schema"]) for kind in kinds}
        return {kind: x.get("schema", {}) for kind, x in stated.get("content", {}).items()}

    def _wrong_json(
        self, schema: Json, body: bytes, whose: str = "the body ", partly: tuple[str, str] = ("", "")
    ) -> Iterator[Wrong]:
        try:
            value = json.loads(body)
        except ValueError:
            yield Wrong(f"{whose}is no JSON")
            return
        for validator, wrong in self.document.wrong_value(schema, value):
            excuse = partly if validator == "required" else wrong.excuse
            yield Wrong(f"{whose}{wrong.text}", excuse)


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", template)
    return re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in parts))


def _name(operation: Json) -> str:
    words = str(operation.get("summary", "")).split()
    return str(operation.get("operationId") or (words[0] if words else ""))


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return any(fnmatchcase(media, kind) for kind in JSON_TYPES)


def _matching(content: Mapping[str, Json], media: str) -> str | None:
    return next((kind for kind in content if fnmatchcase(media, _media(kind))), None)


def _typed(kind: str, text: str) -> Any:
    """None where the text is no such thing."""
    match kind:
        case "integer":
            return int(text) if re.fullmatch(r"-?\d{1,18}", text) else None
        case "number":
            return float(text) if re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?", text) else None
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case _:
            return text


def _is_moment(text: str) -> bool:
    try:
        return "T" in text and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _field_names(media: str, body: bytes) -> Json:
    if media.startswith("multipart/"):
        return dict.fromkeys((name.decode() for name in re.findall(rb'\bname="([^"]+)"', body)), "")
    return dict.fromkeys((name for name, _ in parse_qsl(body.decode(), keep_blank_values=True)), "")
