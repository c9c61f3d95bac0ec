"""What the lints over the syntax tree share."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("marketsync", "adapters")


class Source(msgspec.Struct, frozen=True):
    path: str
    tree: ast.Module


class Finding(msgspec.Struct, frozen=True, order=True):
    path: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


def read(root: Path, folders: tuple[str, ...] = PRODUCT) -> list[Source]:
    return [
        Source(path=path.relative_to(root).as_posix(), tree=ast.parse(path.read_text(), str(path)))
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
    ]


def report(name: str, check: Callable[[list[Source]], list[Finding]]) -> int:
    """Exit status: 1 if anything was found."""
    sources = read(ROOT)
    found = sorted(set(check(sources)))
    for finding in found:
        print(finding, file=sys.stderr)
    print(f"{name}: {len(sources)} files, {len(found)} found")
    return 1 if found else 0


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name -> dotted name that it stands for, for every import in the file."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                names[alias.asname or head] = alias.name if alias.asname else head
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full name of `a.b.c` if `a` was imported."""
    match node:
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=value, attr=attribute):
            head = dotted(value, names)
            return f"{head}.{attribute}" if head else None
        case _:
            return None


Function = ast.FunctionDef | ast.AsyncFunctionDef


def scopes(tree: ast.Module) -> Iterator[tuple[str, list[ast.AST]]]:
    """Each function's and each body's own nodes, without those of the functions inside it."""
    pending: list[tuple[str, ast.AST]] = [("", tree)]
    while pending:
        name, owner = pending.pop()
        own: list[ast.AST] = []
        for child in _walk_own(owner):
            if isinstance(child, Function | ast.ClassDef):
                pending.append((f"{name}.{child.name}".lstrip("."), child))
            own.append(child)
        yield name, own


def _walk_own(owner: ast.AST) -> Iterator[ast.AST]:
    pending = list(ast.iter_child_nodes(owner))
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, Function | ast.ClassDef):
            pending.extend(ast.iter_child_nodes(node))
