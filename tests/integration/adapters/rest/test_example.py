"""The example server is 60 lines, passes the kit's checks of a shop, and keeps the contract in every exchange."""

from __future__ import annotations

import ast
from datetime import datetime
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.rest import SHOP
from marketsync.kit.quality import of
from marketsync.kit.score import Outcome, scorecard
from marketsync.ports import Request, Response
from tests.conformance.openapi import Contract
from tests.integration.adapters.rest.example import FOLDER, ExampleSide

CONTRACT = Contract()
SPEC = replace(SHOP, sandbox="tests.integration.adapters.rest.example:open_side")
LINES = 60
JUDGED_MAX = 150


@pytest.mark.parametrize("power", ["create", "update", "cancel", "figures", "parcels", "net.redaction"])
def test_it_passes_the_kit_and_keeps_the_contract(power: str, monkeypatch: Any) -> None:
    broken: list[str] = []
    seen: list[str] = []
    original = ExampleSide.handle

    def handle(self: ExampleSide, request: Request, now: datetime) -> Response:
        answer = original(self, request, now)
        seen.append(request.operation)
        if seen.count(request.operation) <= JUDGED_MAX:
            broken.extend(
                CONTRACT.broken(
                    request.method, request.url, request.body, answer.status, answer.headers, answer.body
                )
            )
        return answer

    monkeypatch.setattr(ExampleSide, "handle", handle)
    card = scorecard(SPEC, [power], quality=of(SHOP))
    assert [row for row in card.rows if row.outcome is Outcome.RED] == []
    assert broken == []
    assert len(seen) > 10


def test_it_is_as_long_as_is_said() -> None:
    """Without blank lines and docstrings."""
    source = (FOLDER / "rest_shop.py").read_text()
    said: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            said |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    code = [x for n, x in enumerate(source.splitlines(), 1) if x.strip() and n not in said]
    assert len(code) <= LINES
