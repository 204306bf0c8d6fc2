"""Seeded chance for the population; every draw comes from `random()` alone, whose sequence Python promises to keep."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Choice = TypeVar("Choice")


class Chance:
    """The draws of one patient. The same (seed, index) gives the same draws, whatever else is generated."""

    __slots__ = ("_random",)

    def __init__(self, seed: int, index: int) -> None:
        self._random = Random((seed & 0xFFFFFFFF) << 40 | index).random

    def happens(self, probability: float) -> bool:
        return self._random() < probability

    def whole(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + int(self._random() * (high - low + 1))

    def between(self, low: float, high: float) -> float:
        return low + self._random() * (high - low)

    def around(self, centre: float, spread: float) -> float:
        """Bell-shaped about `centre`, never further than three spreads from it."""
        draw = self._random
        return centre + (draw() + draw() + draw() + draw() - 2.0) * 1.5 * spread

    def one_of(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self._random() * len(choices))]

    def some_of(self, choices: Sequence[Choice], probability: float) -> list[Choice]:
        draw = self._random
        return [choice for choice in choices if draw() < probability]
