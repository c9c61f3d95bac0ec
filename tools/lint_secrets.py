"""A secret is uncovered in one function, so that one review answers where secrets go."""

from __future__ import annotations

import ast
import sys

from tools.lint import Finding, Source, report, scopes

UNCOVER = "get_secret_value"


def check(sources: list[Source]) -> list[Finding]:
    uses = [
        (name, Finding(source.path, node.lineno, f"{UNCOVER} in {name or 'the body of the module'}"))
        for source in sources
        for name, nodes in scopes(source.tree)
        for node in nodes
        if isinstance(node, ast.expr) and _uncovers(node)
    ]
    owners = {(use.path, name) for name, use in uses}
    if len(owners) <= 1 and all(name for name, _ in uses):
        return []
    return [use for _, use in uses]


def _uncovers(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name == UNCOVER
        case _:
            return False


if __name__ == "__main__":
    sys.exit(report("secrets", check))
