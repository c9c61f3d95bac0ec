"""SQL is a literal, and stands in the store alone: nothing builds a statement from strings."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from tools.lint import Finding, Source, report, scopes

STORE = "marketsync/store/"
RUNS_SQL = (
    "execute",
    "execute_fetchall",
    "execute_insert",
    "executemany",
    "executescript",
    "fetch",
    "fetchmany",
    "fetchrow",
    "fetchval",
    "prepare",
)
STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w*\s*SET\s|DELETE\s+FROM\s|WITH\s+\w+\s*(\(|AS\s)|PRAGMA\s+\w"
    r"|BEGIN\s+IMMEDIATE|(CREATE|ALTER|DROP)\s+(UNIQUE\s+)?(TABLE|INDEX|TRIGGER|VIEW|SEQUENCE)\s|ATTACH\s|VACUUM\b)"
)
BEGINNING = re.compile(
    r"\s*(SELECT|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w*|DELETE\s+FROM|PRAGMA|(CREATE|ALTER|DROP)\s+\w+|ATTACH|VACUUM)\b"
)


def check(sources: list[Source]) -> list[Finding]:
    return [finding for source in sources for finding in check_source(source)]


def check_source(source: Source) -> Iterator[Finding]:
    for _, nodes in scopes(source.tree):
        yield from _built_statements(source.path, nodes)
    if not source.path.startswith(STORE):
        yield from _statements_elsewhere(source)


def _built_statements(path: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    built_names = {
        node.targets[0].id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_built(node.value)
    }
    grown_names = {
        node.target.id
        for node in nodes
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    for node in nodes:
        if isinstance(node, ast.expr) and _is_built(node) and BEGINNING.match(_first_text(node)):
            yield Finding(path, node.lineno, "SQL is built from strings: write it out and bind parameters")
        if isinstance(node, ast.Call) and _runs_sql(node):
            first = node.args[0]
            if _is_built(first) or (isinstance(first, ast.Name) and first.id in built_names | grown_names):
                yield Finding(path, first.lineno, "a built string is run as SQL")


def _runs_sql(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in RUNS_SQL and bool(call.args)


def _is_built(node: ast.expr) -> bool:
    """Put together at run time; two literals side by side are one literal."""
    match node:
        case ast.JoinedStr(values=values):
            return any(isinstance(value, ast.FormattedValue) for value in values)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return any(_is_built(side) or _is_text(side) for side in (left, right))
        case ast.BinOp(op=ast.Mod(), left=left):
            return _is_built(left) or _is_text(left)
        case ast.Call(func=ast.Attribute(attr="format" | "format_map" | "join", value=value)):
            return _is_built(value) or _is_text(value)
        case _:
            return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _first_text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[first, *_]):
            return _first_text(first)
        case ast.BinOp(left=left):
            return _first_text(left)
        case ast.Call(func=ast.Attribute(value=value)):
            return _first_text(value)
        case _:
            return ""


def _statements_elsewhere(source: Source) -> Iterator[Finding]:
    prose = {node.value for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=str(text)) if node not in prose and STATEMENT.match(text):
                yield Finding(source.path, node.lineno, f"SQL outside {STORE}")
            case _:
                pass


if __name__ == "__main__":
    sys.exit(report("sql", check))
