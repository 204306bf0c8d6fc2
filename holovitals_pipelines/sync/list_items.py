"""Which item of a list is which on every side, by what names it: never by its place (sync-protocol.md §4.2).

Law: where an item has no identity, or two share one, or both sides put something else in the place of the same item,
nobody can tell which item is which, and the list is merged as one value.

`given`, `prefix`, `suffix` and `line` are ordered parts of a name or an address, so they are one value; so is every
list of strings that is not known to be a set (SETS): a union of two orders could be a name nobody has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

Identity = tuple[str | None, ...]
"""What names an item, as texts; None for a part that is not there."""

SETS: Final = frozenset({"profile", "instantiatesCanonical", "instantiatesUri", "daysOfWeek", "policy", "alias"})
"""Lists of strings whose order carries no meaning: the string is the identity."""

_CONCEPT: Final = frozenset({"coding", "text", "_text", "id", "extension"})
_STRUCTURE: Final = str.maketrans({character: f"%{ord(character):02X}" for character in "%[]|"})


def identities(name: str, items: Sequence[Any]) -> list[Identity] | None:
    """The identity of each item of the element `name`; None unless every item has its own."""
    if not items:
        return []
    identify = _BY_ELEMENT.get(name, _by_shape)
    found: list[Identity] = []
    for item in items:
        identity: Identity | None = (item,) if type(item) is str and name in SETS else None
        if type(item) is dict:
            identity = identify(item)
        if identity is None or not all(part is None or type(part) is str for part in identity):
            return None
        found.append(identity)
    return found if len(found) == 1 or len(set(found)) == len(found) else None


def sent_identities(
    name: str, items: Sequence[Any], sent: Sequence[Any]
) -> tuple[list[Identity], list[Identity]] | None:
    """Identities of local's items and of the same list as the vendor stores it.

    A vendor that recodes what names an item (case, code maps) knows it by the new name, so local's item goes by that
    name too; None where items were both recoded and dropped, so that it cannot be told which is which.
    """
    own = identities(name, items)
    if own is None or sent is items:
        return None if own is None else (own, own)
    theirs = identities(name, sent)
    if theirs is None:
        return None
    if set(theirs) <= set(own):
        return own, theirs
    return (theirs, theirs) if len(theirs) == len(own) else None


def rendered(identity: Identity) -> str:
    """The identity as unit names show it: `phone|555`. Different identities stay different."""
    text = "|".join(["" if part is None else part.translate(_STRUCTURE) or "%" for part in identity])
    return "%78" if text == "x" else text  # `[x]` marks a choice


def replaced_differently(
    name: str, bases: Iterable[Mapping[Identity, Any]], local: Mapping[Identity, Any], remote: Mapping[Identity, Any]
) -> bool:
    """Whether both sides took the same item away and put different ones in its place.

    Both lists together would then hold two official names or two numbers of one register: a contradiction, not a union.
    """
    place_of = _PLACES.get(name)
    if place_of is None:
        return False
    known: dict[Identity, Any] = {}
    for base in bases:
        known.update(base)
    gone = _places(place_of, (item for key, item in known.items() if key not in local and key not in remote))
    if not gone:
        return False
    ours = _places(place_of, (item for key, item in local.items() if key not in known and key not in remote))
    theirs = _places(place_of, (item for key, item in remote.items() if key not in known and key not in local))
    return bool(gone & ours & theirs)


def one_meaning(base_local: Any, base_remote: Any, local: Any, remote: Any) -> bool:
    """Whether codings of a CodeableConcept may be merged one by one.

    Codings are translations of one meaning, so only while both sides keep every coding and the text they had, and do
    not add different codes of one system. Recoding is one decision.
    """
    added: list[set[Identity]] = []
    for base, now in ((base_local, local), (base_remote, remote)):
        if type(base) is not dict or type(now) is not dict or base.get("text") != now.get("text"):
            return False
        before, after = base.get("coding"), now.get("coding")
        if type(before) is not list or type(after) is not list:
            return False
        known, keys = identities("coding", before), identities("coding", after)
        if not known or keys is None or not set(known) <= set(keys):
            return False
        added.append(set(keys) - set(known))
    ours, theirs = added[0] - added[1], added[1] - added[0]
    return {key[0] for key in ours}.isdisjoint(key[0] for key in theirs)


def is_concept(values: Iterable[Any]) -> bool:
    """Whether the values have the shape of a CodeableConcept, all together."""
    return all(_CONCEPT.issuperset(value) for value in values if type(value) is dict)


def arranged(common: Sequence[Identity], own: Iterable[Identity], kept: Collection[Identity]) -> list[Identity]:
    """`common` in its order, and of `kept` what only this side holds, each behind its neighbour in `own` order."""
    anchors = set(common)
    behind: dict[Identity | None, list[Identity]] = {}
    neighbour: Identity | None = None
    for key in own:
        if key in anchors:
            neighbour = key
        elif key in kept:
            behind.setdefault(neighbour, []).append(key)
    order = behind.pop(None, [])
    for key in common:
        order += [key, *behind.get(key, ())]
    return order


def _concept(concept: Any) -> Identity | None:
    """The first coding that has a code, else the text without regard to case and spaces."""
    if type(concept) is not dict:
        return None
    codings = concept.get("coding", ())
    for coding in codings if type(codings) is list else ():
        if type(coding) is dict and coding.get("code"):
            return coding.get("system"), coding["code"]
    text = concept.get("text")
    return (None, None, " ".join(text.lower().split())) if type(text) is str else None


def _reference(reference: Any) -> Identity | None:
    if type(reference) is not dict:
        return None
    if "reference" in reference:
        return (reference["reference"],)
    return _system_and_value(reference.get("identifier"))


def _system_and_value(item: Any) -> Identity | None:
    return (item.get("system"), item["value"]) if type(item) is dict and item.get("value") else None


def _reaction(item: dict[str, Any]) -> Identity | None:
    manifestations = item.get("manifestation")
    if type(manifestations) is not list:
        return None
    identity: Identity = ()
    for manifestation in manifestations:
        concept = _concept(manifestation)
        if concept is None:
            return None
        identity += concept
    return identity


def _with_list(first: Identity, parts: Any) -> Identity | None:
    return first + tuple(parts) if type(parts) in (list, tuple) and None not in parts else None


def _by_shape(item: dict[str, Any]) -> Identity | None:
    """For elements without a rule of their own: numbered items, references and concepts."""
    if "linkId" in item:
        return (item["linkId"],)
    if type(item.get("sequence")) is int:
        return (str(item["sequence"]),)
    if "reference" in item:
        return _reference(item)
    return _concept(item) if _CONCEPT.issuperset(item) else None


def _required(*names: str) -> Callable[[dict[str, Any]], Identity | None]:
    """The members `names`, of which the last must be there."""

    def identify(item: dict[str, Any]) -> Identity | None:
        identity = tuple(map(item.get, names))
        return identity if identity[-1] else None

    return identify


_coding = _required("system", "code")
_BY_ELEMENT: Final[Mapping[str, Callable[[dict[str, Any]], Identity | None]]] = {
    "coding": _coding,
    "tag": _coding,
    "security": _coding,
    "identifier": _system_and_value,
    "telecom": _system_and_value,
    "extension": _required("url"),
    "modifierExtension": _required("url"),
    "contained": _required("resourceType", "id"),
    "note": _required("time", "text"),
    "name": lambda item: _with_list((item.get("use"), item.get("family")), item.get("given", ())),
    "address": lambda item: _with_list(
        (item.get("use"), item.get("type"), item.get("postalCode")), item.get("line", ())
    ),
    "component": lambda item: _concept(item.get("code")),
    "communication": lambda item: _concept(item.get("language")),
    "reaction": _reaction,
    "participant": lambda item: _reference(item.get("individual") or item.get("actor") or item.get("member")),
    "link": lambda item: _reference(item.get("other")),
    "location": lambda item: _reference(item.get("location") or item),
    "diagnosis": lambda item: _reference(item.get("condition")) or _by_shape(item),
}


def _places(place_of: Callable[[dict[str, Any]], Identity], items: Iterable[Any]) -> set[Identity]:
    return {place_of(item) for item in items}


def _place(*names: str) -> Callable[[dict[str, Any]], Identity]:
    return lambda item: tuple(part if type(part := item.get(name)) is str else None for name in names)


_PLACES: Final[Mapping[str, Callable[[dict[str, Any]], Identity]]] = {
    "identifier": _place("system"),
    "name": _place("use"),
    "address": _place("use", "type"),
    "telecom": _place("system", "use"),
    "security": _place("system"),
}
"""Of what there is one: the members that tell whether an item has taken another's place."""
