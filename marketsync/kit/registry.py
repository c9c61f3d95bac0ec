"""The checks by name: what each is of, and what it stands for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec

from marketsync.domain.deliveries import Kind
from marketsync.http import Role

if TYPE_CHECKING:
    from marketsync.kit.bench import Fresh

Ask = Callable[["Fresh"], AsyncIterator[str]]

MODULES: tuple[str, ...] = (
    "reads", "paging", "mapping", "accept", "confirm", "stock", "aftersales", "hints", "create", "update", "figures", "parcels",
    "net", "plan", "contract",
)  # fmt: skip


class CannotShow(Exception):
    """The far side lacks what this check needs: it is neither green nor red, and has to be exempt with its reason."""


class NotRun(Exception):
    """This machine lacks what the check needs, such as a published contract: never green, never a reason."""


class Check(msgspec.Struct, frozen=True):
    """`kind`: only for an adapter that has this power; so is `needs`, the name of a method that others leave out; `role` None
    is both. `ask` yields what is wrong, in sentences."""

    power: str
    name: str
    ask: Ask
    role: Role | None
    kind: Kind | None
    needs: str = ""

    @property
    def id(self) -> str:
        return f"{self.power}.{self.name}"


class Checks:
    """The checks of one power. As a decorator it takes what the check stands for: `tools/matrix.py` reads it there."""

    def __init__(self, power: str, role: Role | None, kind: Kind | None = None, *, needs: str = "") -> None:
        self.power, self.role, self.kind, self.needs = power, role, kind, needs
        self.all: list[Check] = []

    def __call__(
        self, *, rules: Sequence[str] = (), failures: Sequence[int] = (), field: Sequence[str] = (),
        traces: Sequence[str] = (), requirements: Sequence[str] = (),
    ) -> Callable[[Ask], Ask]:  # fmt: skip
        del rules, failures, field, traces, requirements

        def register(ask: Ask) -> Ask:
            name = getattr(ask, "__name__", "").removesuffix("_")
            self.all.append(Check(self.power, name, ask, self.role, self.kind, self.needs))
            return ask

        return register


def checks() -> list[Check]:
    """All of them, in the order in which a scorecard shows them."""
    found: list[Check] = []
    for name in MODULES:
        groups = vars(import_module(f"marketsync.kit.checks.{name}")).values()
        found += [check for group in groups if isinstance(group, Checks) for check in group.all]
    return found
