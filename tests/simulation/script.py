"""What goes wrong in one run, as a file: which exchange meets which fault, and when the process dies."""

from __future__ import annotations

from pathlib import Path

import msgspec

from marketsync.sandbox.chance import Chance
from marketsync.sandbox.faults import Dice
from marketsync.sandbox.kinds import Fault, Rates


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """`faults` by the number of the exchange, from 1; `crashes` in virtual seconds. The world's own mischief, the disk and
    the wall clock are the seed's, less the kinds in `without`."""

    seed: int
    faults: dict[int, str] = {}
    crashes: tuple[float, ...] = ()
    without: tuple[str, ...] = ()
    failure: str = ""

    @property
    def size(self) -> int:
        return len(self.faults) + len(self.crashes)


class ScriptDice(Dice):
    """Each exchange has a stream of chance of its own, so that a fault that is left out changes no other exchange's.

    Without a script it draws, and remembers what: `played` is the script of this run.
    """

    def __init__(self, rates: Rates, chance: Chance, script: Script | None = None) -> None:
        super().__init__(rates, chance)
        self.played: dict[int, str] = {}
        self._source = chance
        self._script = script
        self._exchanges = 0
        self._over = False

    def quiet(self) -> None:
        self._over = True
        super().quiet()

    def draw(self) -> Fault:
        self._exchanges += 1
        self._chance = self._source.fork(str(self._exchanges))
        drawn = super().draw()
        if self._script is not None:
            self.injected[drawn] -= 1
            name = self._script.faults.get(self._exchanges, "")
            drawn = Fault(name) if name and not self._over else Fault.NONE
            self.injected[drawn] = self.injected.get(drawn, 0) + 1
        if drawn is not Fault.NONE:
            self.played[self._exchanges] = drawn.value
        return drawn


def load(path: Path) -> Script:
    return msgspec.json.decode(path.read_bytes(), type=Script)


def save(script: Script, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(script), indent=1) + b"\n")
