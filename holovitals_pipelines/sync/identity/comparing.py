"""How far two Patient records say the same of who somebody is, element by element, without their values.

Law: the answer names elements and levels only, so it may be kept and shown where values may not.
"""

from __future__ import annotations

from enum import StrEnum

from holovitals_pipelines.sync.identity.demographics import Demographics


class Level(StrEnum):
    SAME = "same"
    SIMILAR = "similar"
    DIFFERENT = "different"
    MISSING = "missing"
    """At least one of the two says nothing."""


def compare(one: Demographics, other: Demographics) -> dict[str, str]:
    """By element, the level."""
    return {
        "family": _family(one, other),
        "given": _text(one.given, other.given, prefix=True),
        "birthDate": _date(one.birth_date, other.birth_date),
        "gender": _text(one.gender, other.gender, slips=0),
        "phone": _overlap(one.phones, other.phones),
        "street": _text(one.street, other.street),
        "postalCode": _text(one.postal_code, other.postal_code, slips=0),
    }


def _family(one: Demographics, other: Demographics) -> Level:
    level = _text(one.family, other.family)
    formerly = {one.family, *one.former} & {other.family, *other.former} - {None}
    return Level.SIMILAR if level is Level.DIFFERENT and formerly else level


def _text(one: str | None, other: str | None, *, slips: int = 2, prefix: bool = False) -> Level:
    if not one or not other:
        return Level.MISSING
    if one == other:
        return Level.SAME
    if prefix and (one.startswith(other) or other.startswith(one)):
        return Level.SIMILAR
    return Level.SIMILAR if slips and slips_between(one, other, slips) else Level.DIFFERENT


def _date(one: str | None, other: str | None) -> Level:
    if not one or not other:
        return Level.MISSING
    if one == other:
        return Level.SAME
    if one.startswith(other) or other.startswith(one):
        return Level.SIMILAR
    turned = len(one) == len(other) == 10 and one == f"{other[:4]}-{other[8:]}-{other[5:7]}"
    return Level.SIMILAR if turned or slips_between(one, other, 1) else Level.DIFFERENT


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> Level:
    if not one or not other:
        return Level.MISSING
    return Level.SAME if set(one) & set(other) else Level.DIFFERENT


def slips_between(one: str, other: str, most: int) -> bool:
    """Whether at most so many insertions, deletions, replacements or swaps of neighbours make one of the other."""
    if abs(len(one) - len(other)) > most:
        return False
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        previous, row, earlier = row, [i], before
        for j, told in enumerate(other, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (letter != told))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == told:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        before = previous
    return row[-1] <= most
