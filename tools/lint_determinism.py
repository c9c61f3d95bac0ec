"""No wall clock, randomness, thread or order of a set decides anything, except in the modules that own them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch

from tools.lint import Finding, Source, dotted, imported_names, report, scopes

OWNERS = {
    "marketsync/ops/clock.py": "owns the real clock and the real randomness",
    "marketsync/http/transport.py": "owns the sockets and their name look-ups",
    "marketsync/store/sqlite.py": "owns the connection and its thread",
    "marketsync/sandbox/server.py": "serves the simulated far sides over real sockets",
    "marketsync/cli/*": "runs in front of a person, outside the daemon",
}

FORBIDDEN = (
    "asyncio.sleep",
    "asyncio.to_thread",
    "concurrent.futures",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "multiprocessing",
    "os.getrandom",
    "os.urandom",
    "random",
    "secrets",
    "threading",
    "time.clock_gettime",
    "time.gmtime",
    "time.localtime",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.sleep",
    "time.time",
    "time.time_ns",
    "uuid.uuid1",
    "uuid.uuid4",
)
FORBIDDEN_METHODS = ("run_in_executor", "call_soon_threadsafe", "utcnow")

SET_MAKERS = ("set", "frozenset")
SET_METHODS = ("union", "intersection", "difference", "symmetric_difference", "copy")
SET_TYPES = ("set", "frozenset", "Set", "AbstractSet", "MutableSet")
ORDER_TAKERS = ("list", "tuple", "enumerate", "iter", "zip", "map", "filter", "reversed")
ORDER_FREE = ("all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum")


def check(sources: list[Source]) -> list[Finding]:
    return [finding for source in sources for finding in check_source(source)]


def check_source(source: Source) -> Iterator[Finding]:
    if not any(fnmatch(source.path, owner) for owner in OWNERS):
        yield from _forbidden_names(source)
    for _, nodes in scopes(source.tree):
        yield from _set_orders(source.path, nodes)


def _forbidden_names(source: Source) -> Iterator[Finding]:
    names = imported_names(source.tree)
    for node in ast.walk(source.tree):
        match node:
            case ast.Name() | ast.Attribute():
                name = dotted(node, names)
                if name and _is_forbidden(name):
                    yield Finding(source.path, node.lineno, f"{name} belongs to its owner module")
                elif isinstance(node, ast.Attribute) and _is_hidden_clock(node):
                    yield Finding(source.path, node.lineno, f".{node.attr} belongs to its owner module")
            case ast.ImportFrom(module=str(module), names=aliases):
                for alias in aliases:
                    if _is_forbidden(f"{module}.{alias.name}"):
                        yield Finding(source.path, node.lineno, f"import of {module}.{alias.name}")
            case _:
                pass


def _is_forbidden(name: str) -> bool:
    return any(name == forbidden or name.startswith(f"{forbidden}.") for forbidden in FORBIDDEN)


def _is_hidden_clock(node: ast.Attribute) -> bool:
    if node.attr in FORBIDDEN_METHODS:
        return True
    if node.attr != "time":
        return False
    match node.value:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name in {"get_event_loop", "get_running_loop"}
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_") in {"loop", "event_loop"}
        case _:
            return False


def _set_orders(path: str, nodes: list[ast.AST]) -> Iterator[Finding]:
    known = _set_names(nodes)
    free = _order_free_comprehensions(nodes)
    for node in nodes:
        if node in free:
            continue
        for taken in _takes_order(node):
            if _is_set(taken, known):
                yield Finding(path, taken.lineno, "the order of a set decides: sort it first")


def _takes_order(node: ast.AST) -> list[ast.expr]:
    """The expressions whose order of elements shows in what this node does."""
    match node:
        case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated):
            return [iterated]
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            return [generator.iter for generator in node.generators]
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in ORDER_TAKERS:
            return arguments
        case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=arguments):
            return arguments
        case ast.Call(func=ast.Attribute(attr="pop", value=value), args=[]):
            return [value]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [element.value for element in elements if isinstance(element, ast.Starred)]
        case _:
            return []


def _order_free_comprehensions(nodes: list[ast.AST]) -> set[ast.AST]:
    return {
        argument
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDER_FREE
        for argument in node.args
        if isinstance(argument, ast.GeneratorExp | ast.ListComp)
    }


def _set_names(nodes: list[ast.AST]) -> frozenset[str]:
    known: set[str] = set()
    for node in nodes:
        match node:
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if _is_set_type(annotation):
                known.add(name)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation) if _is_set_type(annotation):
                known.add(name)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_set(value, frozenset(known)):
                known.add(name)
            case ast.Assign(targets=[ast.Tuple(elts=elements)], value=value) if _is_wait(value):
                known.update(element.id for element in elements if isinstance(element, ast.Name))
            case _:
                pass
    return frozenset(known)


def _is_set(node: ast.expr, known: frozenset[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name(id=name):
            return name in known
        case ast.Call(func=ast.Name(id=name)):
            return name in SET_MAKERS
        case ast.Call(func=ast.Attribute(attr=name, value=value)):
            return name in SET_METHODS and _is_set(value, known)
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.Sub() | ast.BitXor(), left=left, right=right):
            return _is_set(left, known) or _is_set(right, known)
        case _:
            return False


def _is_set_type(annotation: ast.expr) -> bool:
    match annotation:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in SET_TYPES
        case ast.Subscript(value=value):
            return _is_set_type(value)
        case _:
            return False


def _is_wait(value: ast.expr) -> bool:
    match value:
        case ast.Await(value=ast.Call(func=ast.Attribute(attr="wait", value=ast.Name(id="asyncio")))):
            return True
        case _:
            return False


if __name__ == "__main__":
    sys.exit(report("determinism", check))
