"""Holds exchanges against our own contract: method and path, parameters, bodies of both directions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft202012Validator

PATH = Path(__file__).parents[2] / "docs" / "rest.openapi.json"


class Contract:
    def __init__(self) -> None:
        self.document: dict[str, Any] = json.loads(PATH.read_text())
        self._validators: dict[str, Draft202012Validator] = {}

    def broken(
        self, method: str, url: str, request_body: bytes, status: int, headers: Mapping[str, str], body: bytes
    ) -> list[str]:
        """What is not as the contract says; headers with lower-case names."""
        found = self.find(method, url)
        if found is None:
            return [f"{method} {urlsplit(url).path} is in no contract"]
        name, operation, own = found
        said = [*self._parameters(operation, own, url), *self._sent(operation, request_body)]
        return [f"{name}: {x}" for x in (*said, *self._answered(operation, status, headers, body))]

    def find(self, method: str, url: str) -> tuple[str, dict[str, Any], dict[str, str]] | None:
        """The name of an operation, itself with all its parameters, and what its path names."""
        path = urlsplit(url).path
        for template, item in self.document["paths"].items():
            match = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template), path)
            operation = item.get(method.lower())
            if match and operation:
                listed = [*item.get("parameters", ()), *operation.get("parameters", ())]
                whole = {**operation, "parameters": [self._followed(x) for x in listed]}
                own = {key: unquote(value) for key, value in match.groupdict().items()}
                return str(operation["operationId"]), whole, own
        return None

    def errors(self, schema: Mapping[str, Any], instance: Any) -> list[str]:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(
                {**schema, "components": self.document["components"]}
            )
        return [
            f"{error.json_path}: {error.message}" for error in self._validators[key].iter_errors(instance)
        ]

    def problem(self, headers: Mapping[str, str], body: bytes) -> list[str]:
        """Of an answer that is no success."""
        if headers.get("content-type", "").partition(";")[0] != "application/problem+json":
            return [f"no problem+json but {headers.get('content-type')}"]
        return self.errors({"$ref": "#/components/schemas/Problem"}, json.loads(body))

    def _parameters(self, operation: Mapping[str, Any], own: Mapping[str, str], url: str) -> Iterator[str]:
        query = parse_qs(urlsplit(url).query, keep_blank_values=True)
        stated = {x["name"]: x for x in operation["parameters"]}
        yield from (f"the parameter {name} is not named" for name in query if name not in stated)
        for name, parameter in stated.items():
            given = query.get(name) if parameter["in"] == "query" else [own[name]]
            if given is not None:
                yield from self.errors(parameter["schema"], _typed(parameter["schema"], given))

    def _sent(self, operation: Mapping[str, Any], body: bytes) -> Iterator[str]:
        stated = operation.get("requestBody")
        if stated is None:
            if body:
                yield "a body that is not named"
            return
        yield from self.errors(stated["content"]["application/json"]["schema"], json.loads(body))

    def _answered(
        self, operation: Mapping[str, Any], status: int, headers: Mapping[str, str], body: bytes
    ) -> Iterator[str]:
        stated = self._followed(operation["responses"].get(str(status)) or operation["responses"]["default"])
        if status >= 300:
            yield from self.problem(headers, body)
        elif "application/json" not in stated["content"]:
            yield f"the status {status} is not named"
        else:
            yield from self.errors(stated["content"]["application/json"]["schema"], json.loads(body))
        yield from (
            f"the header {x} is missing" for x in stated.get("headers", ()) if x.lower() not in headers
        )
        if "date" not in headers:
            yield "the header Date is missing"

    def _followed(self, stated: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in stated:
            return stated
        found: Any = self.document
        for part in stated["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)


def _typed(schema: Mapping[str, Any], given: list[str]) -> Any:
    if schema.get("type") == "array":
        return given
    return int(given[0]) if schema.get("type") == "integer" else given[0]
