"""Randomness from a seed: the same seed gives the same world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Chance:
    """A `ports.Random` by SplitMix64. `fork` gives an independent stream, so that one actor's draws do not move another's."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def fork(self, name: str) -> Chance:
        mixed = self._state
        for letter in name.encode():
            mixed = _mix((mixed ^ letter) + 0x9E3779B97F4A7C15 & _MASK)
        return Chance(mixed)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * (self._next() >> 11) / (1 << 53)

    def token(self, length: int) -> str:
        return "".join(self.pick(_ALPHABET) for _ in range(length))

    def below(self, limit: int) -> int:
        return self._next() % limit

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]

    def happens(self, probability: float) -> bool:
        return self.uniform(0.0, 1.0) < probability

    def _next(self) -> int:
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        return _mix(self._state)


def _mix(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)
