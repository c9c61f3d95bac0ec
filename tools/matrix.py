"""Which tests show which trace, failure, requirement, rule and bug of the field: `python -m tools.matrix` writes docs/tests-matrix.md."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tests-matrix.md"
KINDS = ("trace", "rule", "failure", "requirement")


class Shown(NamedTuple):
    """A test and what it is marked with; `kind` "field" where its name says it."""

    kind: str
    key: str
    test: str


def numbers(prefix: str, last: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{n}" for n in range(1, last + 1))


FIELD = (
    "failed_order_is_retried_though_cursor_moved", "outage_longer_than_window_loses_nothing",
    "partial_resync_does_not_move_live_cursor", "shop_clock_west_of_utc", "dst_fold_and_gap",
    "kill_between_remote_create_and_local_record", "lock_holder_stalls_past_lease_then_wakes",
    "line_total_is_not_unit_price", "pending_has_no_price_and_is_completed_later",
    "fulfilled_by_marketplace_touches_no_stock_and_has_no_address", "unknown_last_line_never_shortens_an_order",
    "sale_between_read_and_stamp_is_pushed", "one_warehouse_fails_other_succeeds", "older_quantity_never_wins",
    "five_four_five_is_three_pushes", "cancel_before_during_after_push", "ship_4xx_is_visible_and_retried",
    "two_accepts_one_unit", "manual_import_of_newer_id_leaves_no_gap", "order_closed_before_first_poll",
    "order_updated_during_paging", "crash_recovers_without_a_human", "alert_not_marked_sent_when_mail_fails",
    "one_bundle_does_not_fail_the_batch", "test_mode_creates_nothing_real",
)  # fmt: skip
CATALOGUES: dict[str, tuple[str, ...]] = {
    "trace": (*numbers("A", 15), *numbers("T", 8)),
    "rule": (*numbers("A", 25), *numbers("B", 20), *numbers("C", 21)),
    "failure": numbers("", 73),
    "requirement": numbers("R", 41),
    "field": FIELD,
}

SEVERAL = "there are no several daemons on one PostgreSQL yet"
NOT_YET: dict[str, dict[str, str]] = {
    "trace": {},
    "rule": {},
    "failure": {
        "17": "an id that is used again comes in as a revision of the first order; nobody is asked",
        "26": "a line's SKU stands for one article: there are no kits",
        "35": "neither vendor answers 409: WooCommerce creates again, Mirakl names a state",
        **dict.fromkeys(("61", "62", "63"), SEVERAL),
        "67": "a month of virtual time and a million orders are a run of their own",
        "68": "the transport's pools are bounded by its own tests, not by a real lack of descriptors",
    },
    "requirement": {
        "R28": "there are no labels",
        "R34": "no marketplace with an inbox or an event log",
        "R39": "Mirakl debits before we ship: there is no cash on delivery",
    },
    "field": {
        "alert_not_marked_sent_when_mail_fails": "there are no mails: alerts are left to what reads the metrics"
    },
}


def collect(root: Path = ROOT) -> list[Shown]:
    """Every mark in the tests' source, with the test that carries it, and what the checks of the kit stand for."""
    found: dict[Shown, None] = {}
    for path in sorted((root / "tests").rglob("*.py")):
        short = path.relative_to(root / "tests").as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for kind, key, name in _marks(tree, ""):
            found[Shown(kind, key, f"{short}::{name}")] = None
    for path in sorted((root / "marketsync" / "kit" / "checks").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {Shown(kind, key, f"kit::{name}"): None for kind, key, name in _stands_for(tree)}
    return list(found)


def missing(shown: list[Shown]) -> dict[str, list[str]]:
    """What neither a test nor a reason speaks for."""
    return {
        kind: [key for key in keys if key not in _keys(shown, kind) and key not in NOT_YET[kind]]
        for kind, keys in CATALOGUES.items()
    }


def stale(shown: list[Shown]) -> dict[str, list[str]]:
    """Reasons for gaps that a test has closed, and marks that no catalogue knows."""
    return {
        kind: [
            *(key for key in NOT_YET[kind] if key in _keys(shown, kind) or key not in keys),
            *(key for key in _keys(shown, kind) if key not in keys),
        ]
        for kind, keys in CATALOGUES.items()
    }


def page(shown: list[Shown]) -> str:
    lines = [
        "# What the tests show",
        "",
        "Written by `python -m tools.matrix` from the marks in the tests, and from what the checks of the conformance kit",
        "(`kit::`) stand for.",
        "",
    ]
    for kind, keys in CATALOGUES.items():
        lines += [f"## {_TITLES[kind]}", "", "| | tests |", "|---|---|"]
        for key in keys:
            tests = [row.test for row in shown if (row.kind, row.key) == (kind, key)]
            cell = f"not yet: {NOT_YET[kind].get(key, '?')}" if not tests else "<br>".join(_short(tests))
            lines.append(f"| {key} | {cell} |")
        lines.append("")
    return "\n".join(lines)


_TITLES = {
    "trace": "Traces that broke earlier rules",
    "rule": "Rules of writing, reading and stock",
    "failure": "Rows of the catalogue of failures",
    "requirement": "Requirements from a peer's bugs",
    "field": "Bugs seen in the field",
}
SHOWN_MAX = 4


def _short(tests: list[str]) -> list[str]:
    rest = len(tests) - SHOWN_MAX
    return tests if rest <= 1 else [*tests[:SHOWN_MAX], f"and {rest} more"]


def _keys(shown: list[Shown], kind: str) -> dict[str, None]:
    return {row.key: None for row in shown if row.kind == kind}


def _marks(node: ast.AST, owner: str) -> Iterator[tuple[str, str, str]]:
    """A mark belongs to the definition that it decorates or is assigned to, else to whatever it stands in."""
    for child in ast.iter_child_nodes(node):
        name = _name(child) or owner
        if (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            and child.name.removeprefix("test_") in FIELD
        ):
            yield "field", child.name.removeprefix("test_"), child.name
        if isinstance(child, ast.Call):
            yield from ((kind, key, owner or "the whole module") for kind, key in _mark(child))
        yield from _marks(child, name)


def _stands_for(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """A check names what it stands for in the call that registers it with its power."""
    powers = {
        target.id: str(value.args[0].value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(value := node.value, ast.Call) and value.args
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(value.args[0], ast.Constant)
    }
    for node in tree.body:
        if not isinstance(node, ast.AsyncFunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in powers:
                name = f"{powers[call.func.id]}.{node.name.removesuffix('_')}"
                for stated in call.keywords:
                    keys = [str(value) for value in ast.literal_eval(stated.value)]
                    yield from ((_DECLARED[stated.arg or ""], key, name) for key in keys)


_DECLARED = {
    "rules": "rule", "failures": "failure", "field": "field", "traces": "trace", "requirements": "requirement",
}  # fmt: skip


def _name(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return "" if name == "pytestmark" else name
        case _:
            return ""


def _mark(call: ast.Call) -> Iterator[tuple[str, str]]:
    match call.func:
        case ast.Attribute(value=ast.Attribute(attr="mark"), attr=kind) if kind in KINDS:
            values = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
            if len(values) == len(call.args):
                yield kind, "".join(str(value) for value in values)


def main() -> int:
    shown = collect()
    PAGE.write_text(page(shown), encoding="utf-8")
    gaps = {kind: keys for kind, keys in missing(shown).items() if keys}
    for kind, keys in gaps.items():
        print(f"no test and no reason: {kind} {', '.join(keys)}")
    overtaken = {kind: keys for kind, keys in stale(shown).items() if keys}
    for kind, keys in overtaken.items():
        print(
            f"a reason that a test has overtaken, or a number that is in no catalogue: {kind} {', '.join(keys)}"
        )
    return 1 if gaps or overtaken else 0


if __name__ == "__main__":
    sys.exit(main())
