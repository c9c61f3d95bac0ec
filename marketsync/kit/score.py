"""Runs the checks of an adapter and holds what they say against its quality.toml."""

from __future__ import annotations

import asyncio
import enum
import traceback
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from marketsync.http import AdapterSpec, Role
from marketsync.kit.bench import Fresh
from marketsync.kit.quality import BASE, Quality, of
from marketsync.kit.registry import CannotShow, Check, NotRun, checks

SAID_MAX = 12


class Outcome(enum.Enum):
    DONE = "done"
    EXEMPT = "exempt"
    TODO = "todo"
    NOT_RUN = "not run"
    RED = "red"


class Row(msgspec.Struct, frozen=True):
    """One check in one variant. `why`: the reason of an exemption, or what is wrong, in sentences."""

    power: str
    check: str
    variant: str
    outcome: Outcome
    why: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.power}.{self.check}" + ("" if self.variant == BASE else f"@{self.variant}")


class Scorecard(msgspec.Struct, frozen=True):
    """`problems` are of quality.toml itself; `absent` are powers that the adapter has not, with the reason."""

    adapter: str
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()
    absent: Mapping[str, str] = {}

    @property
    def reds(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.rows if row.outcome is Outcome.RED)

    @property
    def sound(self) -> bool:
        return not self.reds and not self.problems


class Said(msgspec.Struct, frozen=True):
    """What one run of a check came to. `cannot`: the far side lacks what it needs; `not_run`: this machine does."""

    wrong: tuple[str, ...] = ()
    cannot: str = ""
    not_run: str = ""


class Runs:
    """The checks of one adapter, each run once. `only` are ids, or beginnings of ids, such as `confirm`."""

    def __init__(self, spec: AdapterSpec, only: Sequence[str] = (), quality: Quality | None = None) -> None:
        self.spec = spec
        self.quality = quality or of(spec)
        self._only = tuple(only)
        self._said: dict[tuple[str, str], Said] = {}
        self._fresh = {name: Fresh(spec, self.quality, name) for name in (BASE, *self.quality.kit.variants)}
        bench = asyncio.run(self._fresh[BASE]())
        self._adapter = bench.adapter
        self.writers = bench.adapter.writers
        self._operations = [operation.name for operation in bench.plan.operations]

    def wanted(self) -> list[tuple[Check, str]]:
        return [(check, variant) for check, variant in self._applying() if self._is_chosen(check, variant)]

    def row(self, check: Check, variant: str) -> Row:
        key = (check.id, variant)
        if key not in self._said:
            self._said[key] = asyncio.run(_run(check, self._fresh[variant]))
        return self._row(check, variant, self._said[key])

    def scorecard(self) -> Scorecard:
        rows = tuple(self.row(check, variant) for check, variant in self.wanted())
        powers = self.quality.kit.powers
        absent = {name: power.absent for name, power in powers.items() if power.absent}
        problems = () if self._only else (*self._problems(), *self._uncalled(rows))
        return Scorecard(self.spec.name, rows, problems, absent)

    def _uncalled(self, rows: Sequence[Row]) -> Iterator[str]:
        """Operations that no check has called; nobody knows where some have not run yet. What holds requests against a published
        description calls what the others call."""
        if any(row.outcome in (Outcome.NOT_RUN, Outcome.TODO) for row in rows if row.power != "contract"):
            return
        called = {name for fresh in self._fresh.values() for name in fresh.called()}
        yield from (
            f"the operation {name} of the plan is called by no check"
            for name in self._operations
            if name not in called
        )

    def _applying(self) -> Iterator[tuple[Check, str]]:
        for check in self._of_role():
            if self._lacks(check):
                continue
            yield check, BASE
            for name, variant in self.quality.kit.variants.items():
                if check.power in variant.checks or check.id in variant.checks:
                    yield check, name

    def _lacks(self, check: Check) -> str:
        """What the adapter would need for this power, "" if it has it."""
        if check.kind is not None and check.kind not in self.writers:
            return f"write {check.kind.value}"
        if check.needs and not hasattr(self._adapter, check.needs):
            return f"have {check.needs}"
        return ""

    def _of_role(self) -> list[Check]:
        return [check for check in checks() if check.role in (None, self.spec.role)]

    def _is_chosen(self, check: Check, variant: str) -> bool:
        name = check.id if variant == BASE else f"{check.id}@{variant}"
        return not self._only or any(name == x or name.startswith((f"{x}.", f"{x}@")) for x in self._only)

    def _row(self, check: Check, variant: str, said: Said) -> Row:
        """A check that is not green needs its reason; a reason whose check is green is out of date."""
        power = self.quality.kit.powers.get(check.power)
        listed, reason = power.of(check.name, variant) if power else ("", "")
        wrong = said.wrong or ((f"it can't be shown: {said.cannot}",) if said.cannot else ())

        def row(outcome: Outcome, *why: str) -> Row:
            return Row(check.power, check.name, variant, outcome, why)

        if said.not_run:
            return row(Outcome.NOT_RUN, said.not_run)
        if listed in ("exempt", "todo"):
            if not wrong:
                return row(Outcome.RED, "it is green: its exemption is out of date, list it as done")
            return row(Outcome(listed), reason)
        if wrong:
            return row(Outcome.RED, *wrong[:SAID_MAX])
        return (
            row(Outcome.DONE) if listed else row(Outcome.RED, "it is green and quality.toml does not list it")
        )

    def _problems(self) -> Iterator[str]:
        known: dict[str, dict[str, None]] = {}
        for check in self._of_role():
            known.setdefault(check.power, {})[check.name] = None
        powers = {
            check.power: self._lacks(check)
            for check in self._of_role()
            if check.kind is not None or check.needs
        }
        for name, power in self.quality.kit.powers.items():
            if name not in known:
                yield f"[kit.powers.{name}]: the kit has no such power for a {self.spec.role.value}"
            both = [*power.done, *power.exempt, *power.todo]
            yield from (
                f"[kit.powers.{name}] names {x} twice" for x in dict.fromkeys(both) if both.count(x) > 1
            )
            for stated in both:
                short, _, variant = stated.partition("@")
                if short not in known.get(name, {}):
                    yield f"[kit.powers.{name}]: there is no check {short}"
                if variant and variant not in (BASE, *self.quality.kit.variants):
                    yield f"[kit.powers.{name}] {stated}: there is no variant {variant}"
        for name, lacking in powers.items():
            said = self.quality.kit.powers.get(name)
            if not lacking and said is not None and said.absent:
                yield f"[kit.powers.{name}] says that it is absent, and the adapter has it"
            if lacking and (said is None or not said.absent):
                yield f'[kit.powers.{name}]: the adapter does not {lacking}: say `absent = "why"`'
        if (
            self.quality.adapter.name != self.spec.name
            or Role(self.quality.adapter.role) is not self.spec.role
        ):
            yield "[adapter]: name and role are not the adapter's own"


def scorecard(spec: AdapterSpec, only: Sequence[str] = (), quality: Quality | None = None) -> Scorecard:
    """Not to be called where an event loop runs: each check has one of its own."""
    return Runs(spec, only, quality).scorecard()


async def _run(check: Check, fresh: Fresh) -> Said:
    said: dict[str, None] = {}
    try:
        async for sentence in check.ask(fresh):
            said[sentence] = None
    except CannotShow as error:
        return Said(cannot=str(error))
    except NotRun as error:
        return Said(not_run=str(error))
    except Exception as error:  # noqa: BLE001 - what escapes is a finding, without its text: it may hold a buyer
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "?"
        said[f"{type(error).__name__} escaped at {place}"] = None
    return Said(tuple(said))


def lines(card: Scorecard) -> Iterator[str]:
    """A scorecard for people: a row for each power, then the reasons, then what is wrong."""
    variants = list(dict.fromkeys(row.variant for row in card.rows))
    yield f"{card.adapter}"
    for power in dict.fromkeys(row.power for row in card.rows):
        cells = [
            f"{variant}: {_counted(card, power, variant)}"
            for variant in variants
            if _of(card, power, variant)
        ]
        yield f"  {power:<10} " + "   ".join(cells)
    for name, reason in card.absent.items():
        yield f"  {name:<10} absent: {reason}"
    for row in card.rows:
        if row.outcome in (Outcome.EXEMPT, Outcome.TODO, Outcome.NOT_RUN):
            yield f"  {row.outcome.value} {row.id}: {' '.join(row.why)}"
    for row in card.rows:
        if row.outcome is Outcome.RED:
            yield f"  RED {row.id}"
            yield from (f"      {sentence}" for sentence in row.why)
    yield from (f"  PROBLEM {problem}" for problem in card.problems)


def _of(card: Scorecard, power: str, variant: str) -> list[Row]:
    return [row for row in card.rows if row.power == power and row.variant == variant]


def _counted(card: Scorecard, power: str, variant: str) -> str:
    rows = _of(card, power, variant)
    counts = [(outcome, sum(row.outcome is outcome for row in rows)) for outcome in Outcome]
    return ", ".join(f"{outcome.value} {count}" for outcome, count in counts if count)
