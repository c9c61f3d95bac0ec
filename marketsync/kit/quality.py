"""quality.toml: what an adapter promises, what it assumes, and which checks of the kit it answers for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal

import msgspec

from marketsync.errors import ConfigError
from marketsync.http import AdapterSpec

BASE = "base"
REASON_WORDS_MIN = 4

Prose = Mapping[str, str | int | float | bool]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    role: Literal["marketplace", "back_office"]
    api: str
    seen_on: str = ""


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The vendor's published description. `files` are OpenAPI documents below MARKETSYNC_CONTRACTS, `base_paths` the paths
    in front of those that do not state their own.

    The rest is what the description leaves out, by name, each with its reason: operations that are `undescribed`; `uncalled`
    ones, to which nothing of the kit's leads; `prose`, query parameters that are told of in words alone; operations whose answers
    are `partly` described, or stated; and why there are `nulls` where a value is described.
    """

    files: tuple[str, ...]
    base_paths: Mapping[str, str] = {}
    undescribed: Mapping[str, str] = {}
    uncalled: Mapping[str, str] = {}
    prose: Mapping[str, str] = {}
    partly: Mapping[str, str] = {}
    nulls: str = ""

    def reasons(self) -> dict[tuple[str, str], str]:
        """By field and name."""
        named = {field: getattr(self, field) for field in ("undescribed", "uncalled", "prose", "partly")}
        found = {(field, name): why for field, whys in named.items() for name, why in whys.items()}
        return found | ({("nulls", ""): self.nulls} if self.nulls else {})


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the vendor does, whatever the adapter declares: the far side is opened with it.

    `budgets` are its published figures by the name of the adapter's budget, as [calls, seconds].
    """

    visibility_lag_seconds: float = 0.0
    budgets: Mapping[str, tuple[int, float]] = {}
    contract: Contract | None = None


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the kit needs to know of the vendor's words. `cancel_reason` is one that it takes for a cancel. `state_fields` are the places of an order's states in its raw
    document, such as `order_lines[].state`. `options` are the far side's, as in a Variant. `unknown_carrier` is one that the
    marketplace refuses."""

    options: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}
    carrier: str = "DHL"
    unknown_carrier: str = ""
    cancel_reason: str = ""
    state_fields: tuple[str, ...] = ()


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another way in which the far side may be set up. `plan` are fields of the SidePlan, `options` the vendor's own
    switches; only these `checks` run again, by power (`confirm`) or one by one (`confirm.carrier`)."""

    why: str
    checks: tuple[str, ...]
    plan: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    settings: Mapping[str, Any] = {}


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The checks of one power: `done` are green; `exempt` and `todo` are not, each with its reason.

    A check may be named for one variant alone: `two_records@parcels`. `absent` says why the adapter has not this power.
    """

    done: tuple[str, ...] = ()
    exempt: Mapping[str, str] = {}
    todo: Mapping[str, str] = {}
    absent: str = ""

    def of(self, check: str, variant: str) -> tuple[str, str]:
        """What is said of a check: ("done" | "exempt" | "todo" | "", reason). What is said of the variant alone wins."""
        for name in (f"{check}@{variant}", check):
            if name in self.done:
                return "done", ""
            if name in self.exempt:
                return "exempt", self.exempt[name]
            if name in self.todo:
                return "todo", self.todo[name]
        return "", ""


class Kit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    powers: Mapping[str, Power]
    setup: Setup = Setup()
    variants: Mapping[str, Variant] = {}


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. What is prose is for people, and for `docs/assumptions.md`."""

    adapter: About
    writes: Prose
    kit: Kit = Kit({})
    reads: Prose = {}
    powers: Prose = {}
    limits: Prose = {}
    assumptions: Prose = {}
    vendor: Vendor = Vendor()


def parse(text: str) -> Quality:
    """ConfigError with the place of what is wrong."""
    try:
        quality = msgspec.toml.decode(text, type=Quality)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"quality.toml: {error}") from None
    if BASE in quality.kit.variants:
        raise ConfigError(f"quality.toml: `{BASE}` is what the adapter is without a variant")
    for place, reason in _reasons(quality):
        if len(reason.split()) < REASON_WORDS_MIN:
            raise ConfigError(f"quality.toml: {place} needs a reason of at least {REASON_WORDS_MIN} words")
    return quality


def of(spec: AdapterSpec) -> Quality:
    """The file beside the adapter's simulated server."""
    package = spec.sandbox.partition(":")[0].rpartition(".")[0]
    if not package:
        raise ConfigError(f"the adapter {spec.name} has no simulated server in a package of its own")
    file = resources.files(package) / "quality.toml"
    if not file.is_file():
        raise ConfigError(f"{package} has no quality.toml")
    return parse(file.read_text(encoding="utf-8"))


def _reasons(quality: Quality) -> list[tuple[str, str]]:
    found = [(f"[kit.variants.{name}]", variant.why) for name, variant in quality.kit.variants.items()]
    for name, power in quality.kit.powers.items():
        both = [*power.exempt.items(), *power.todo.items()]
        found += [(f"[kit.powers.{name}] {check}", reason) for check, reason in both]
        if power.absent:
            found.append((f"[kit.powers.{name}] absent", power.absent))
    if quality.vendor.contract is not None:
        reasons = quality.vendor.contract.reasons()
        found += [
            (f"[vendor.contract] {field} {name}".strip(), why) for (field, name), why in reasons.items()
        ]
    return found
