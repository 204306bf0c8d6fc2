"""One vendor's view of the population: whom it holds, how it names them, and its own shared resources.

The law: the same person has the same facts everywhere, and another id at every site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import orjson

from holovitals_pipelines.sandbox.population.catalogue.coding import TERMINOLOGY, ready
from holovitals_pipelines.sandbox.population.chance import Chance
from holovitals_pipelines.sandbox.population.names import FAMILY, GIVEN, PLACES

NEUTRAL = "neutral"
"""The site that holds everybody: what `population()` yields when no provider is named."""

MEMBERSHIP_PERCENT = 60
ORGANIZATIONS, PRACTITIONERS, LOCATIONS = 6, 24, 8

IdMaker = Callable[[str, int, int], str]
"""(32 hex digits of the chart, chart number, ordinal within the chart) → id."""


def _uuid(digest: str, chart: int, ordinal: int) -> str:
    tail = (ordinal * 0x9E3779B97F4B + int(digest[20:32], 16)) & 0xFFFFFFFFFFFF
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{tail:012x}"


_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _opaque(digest: str, chart: int, ordinal: int) -> str:
    """Epic-like: opaque, with `.` and `-`; one in 40 is longer than the 64 characters FHIR allows (vendors.md §3.6)."""
    first, second = _ALPHABET[ordinal % 62], _ALPHABET[ordinal // 62 % 62]
    short = f"e{digest[:10]}.{first}{digest[10:18]}-{second}{digest[18:22]}3"
    return f"{short}.{digest}{digest[:8]}3" if ordinal % 40 == 39 else short


def _number(digest: str, chart: int, ordinal: int) -> str:
    return str((chart + 1) * 1000 + ordinal)


_ID_MAKERS: dict[str, IdMaker] = {
    "epic": _opaque,
    "cerner": _number,
    "eclinicalworks": _number,
    "allscripts": _number,
    "athenahealth": _number,
}
_MRN_SYSTEMS = {"epic": "urn:oid:1.2.840.114350.1.13.861.1.7.5.737384.14"}


@dataclass(frozen=True, slots=True)
class Site:
    """How one provider names things. `binary_only` sites give document contents by URL, never inline."""

    provider: str
    seed: int
    make_id: IdMaker
    mrn_system: str
    binary_only: bool
    organizations: tuple[str, ...]
    practitioners: tuple[str, ...]
    locations: tuple[str, ...]

    def chart_digest(self, chart: int) -> str:
        return blake2b(f"{self.provider}|{self.seed}|{chart}".encode(), digest_size=16).hexdigest()


def site(provider: str, seed: int) -> Site:
    make_id = _ID_MAKERS.get(provider, _uuid)
    digest = blake2b(f"{provider}|{seed}|shared".encode(), digest_size=16).hexdigest()
    ids = [make_id(digest, -1, ordinal) for ordinal in range(ORGANIZATIONS + PRACTITIONERS + LOCATIONS)]
    return Site(
        provider=provider,
        seed=seed,
        make_id=make_id,
        mrn_system=_MRN_SYSTEMS.get(provider, f"urn:holovitals:sandbox:{provider}:mrn"),
        binary_only=provider in ("epic", "cerner"),
        organizations=tuple(ids[:ORGANIZATIONS]),
        practitioners=tuple(ids[ORGANIZATIONS : ORGANIZATIONS + PRACTITIONERS]),
        locations=tuple(ids[ORGANIZATIONS + PRACTITIONERS :]),
    )


def members(provider: str, patient_index: int) -> bool:
    """Whether the provider holds this patient: about 60 of 100, independently for each provider."""
    if provider == NEUTRAL:
        return True
    drawn = blake2b(f"{provider}:{patient_index}".encode(), digest_size=4).digest()
    return int.from_bytes(drawn, "big") % 100 < MEMBERSHIP_PERCENT


def shared_resources(where: Site) -> Iterator[bytes]:
    """Organization, Practitioner and Location of a site: always the same number, whatever the population's size."""
    chance = Chance(where.seed, (1 << 39) - 1)
    for number, organization in enumerate(where.organizations):
        city, state, postal, _, _ = PLACES[number % len(PLACES)]
        yield orjson.dumps(
            {
                "resourceType": "Organization",
                "id": organization,
                "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": f"19{number:08d}"}],
                "active": True,
                "type": [ready({"coding": [{"system": f"{TERMINOLOGY}/organization-type", "code": "prov"}]})],
                "name": f"{city} Community Health Center {number + 1}",
                "telecom": [{"system": "phone", "value": f"555-01{number:02d}", "use": "work"}],
                "address": [{"city": city, "state": state, "postalCode": postal, "country": "US"}],
            }
        )
    for number, practitioner in enumerate(where.practitioners):
        sex = chance.one_of(("female", "male"))
        yield orjson.dumps(
            {
                "resourceType": "Practitioner",
                "id": practitioner,
                "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": f"17{number:08d}"}],
                "active": True,
                "name": [{"family": chance.one_of(FAMILY), "given": [chance.one_of(GIVEN[sex])], "prefix": ["Dr."]}],
                "gender": sex,
            }
        )
    for number, location in enumerate(where.locations):
        city, state, postal, latitude, longitude = PLACES[number % len(PLACES)]
        organization = where.organizations[number % ORGANIZATIONS]
        yield orjson.dumps(
            {
                "resourceType": "Location",
                "id": location,
                "status": "active",
                "name": f"{city} clinic {number + 1}",
                "mode": "instance",
                "address": {"city": city, "state": state, "postalCode": postal, "country": "US"},
                "position": {"longitude": orjson.Fragment(longitude), "latitude": orjson.Fragment(latitude)},
                "managingOrganization": {"reference": f"Organization/{organization}"},
            }
        )
