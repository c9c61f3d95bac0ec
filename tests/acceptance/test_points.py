"""The list of named points is the list of the calls, no more and no less."""

from __future__ import annotations

import ast
from pathlib import Path

import marketsync
from tests.acceptance.points import NOT_REACHED_HERE, POINTS

SOURCES = Path(marketsync.__file__).parent


def reached() -> tuple[set[str], set[str]]:
    """The names in the calls of `crash.reach`: whole ones, and the beginnings of those that end in a kind and a step."""
    whole: set[str] = set()
    begun: set[str] = set()
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "reach"
            ):
                continue
            match node.args[0]:
                case ast.Constant(value=str(name)):
                    whole.add(name)
                case ast.JoinedStr(values=[ast.Constant(value=str(name)), *_]):
                    begun.add(name)
                case other:
                    raise AssertionError(
                        f"{path.name}:{node.lineno}: a point without a name: {ast.unparse(other)}"
                    )
    return whole, begun


def test_every_call_is_listed_and_every_listed_point_has_a_call() -> None:
    whole, begun = reached()
    listed = {point.name for point in POINTS} | set(NOT_REACHED_HERE)
    assert whole - listed == set()
    assert {name for name in listed - whole if not name.startswith(tuple(begun))} == set()
    assert {start for start in begun if not any(name.startswith(start) for name in listed)} == set()


def test_there_are_at_least_twenty_points_and_each_is_named_once() -> None:
    names = [point.name for point in POINTS]
    assert len(names) == len(set(names)) >= 20
    assert all(point.meaning and point.reaches >= 1 for point in POINTS)
