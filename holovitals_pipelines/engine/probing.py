"""A connection tried out before it is trusted: what works, what does not, and what to do about it.

Law: nothing is written, neither at the vendor nor here, and no value of a record is in what is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.vendors import vendor_adapter
from holovitals_pipelines.model.connection import ConnectionConfig
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.model.extract import ReadRequest, TypeDone
from holovitals_pipelines.model.vocabulary import ChangeMechanism
from holovitals_pipelines.providers.adapter import Adapter
from holovitals_pipelines.providers.probe import Check, Finding, Probing, Verdict, refused, works
from holovitals_pipelines.providers.write_overview import TypeWrites, write_overview
from holovitals_pipelines.settings import resolve_secret
from holovitals_pipelines.store.agreements import remote_ids

_FAR_SECONDS = 5.0
"""Clocks further apart are worth a word."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found; `mechanisms` and `writes` as the adapter declares them."""

    findings: Sequence[Finding]
    mechanisms: Mapping[str, ChangeMechanism]
    writes: Sequence[TypeWrites]

    @property
    def works(self) -> bool:
        """Whether everything that is configured can work."""
        return all(finding.verdict is not Verdict.FAULT for finding in self.findings)


async def probe_connection(home: Home, name: str) -> Probed:
    """Try the connection. Raises HoloVitalsError where it cannot be opened at all."""
    connection = home.connection(name)
    patient = _known_patient(home, connection)
    async with vendor_adapter(connection, home.database) as adapter:
        mechanisms = adapter.mechanisms()
        findings = [works(Check.ACCESS, "probe.reached", "the vendor can be reached and takes our credentials")]
        findings += await adapter.probe(patient) if isinstance(adapter, Probing) else ()
        tried = {finding.resource_type for finding in findings if finding.check is Check.TYPES}
        for resource_type in mechanisms:
            if resource_type not in tried:
                findings.append(await _one_chart(adapter, resource_type, patient))
        findings += _clock(adapter)
        findings += _not_offered(connection, mechanisms)
        writes = write_overview(adapter, mechanisms)
        findings += _writes(connection, writes)
    return Probed(findings, mechanisms, writes)


def _known_patient(home: Home, connection: ConnectionConfig) -> str | None:
    with home.database.read() as transaction:
        known = sorted(remote_ids(transaction, connection.name, "Patient"))
    if not known and connection.read.patient_ids is not None:
        known = [line.strip() for line in resolve_secret(connection.read.patient_ids).splitlines() if line.strip()]
    return known[0] if known else None


async def _one_chart(adapter: Adapter, resource_type: str, patient: str | None) -> Finding:
    """The type of one patient, up to its first page."""
    if patient is None:
        return Finding(
            Check.TYPES,
            Verdict.NOTE,
            "probe.no_patient",
            "could not be tried: no patient is known here yet",
            "set read.patient_ids, or sync first",
            resource_type,
        )
    try:
        async with aclosing(adapter.read(ReadRequest([resource_type], only_patients=[patient]))) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, TypeDone) and event.error is not None:
                    return refused(Check.TYPES, event.error, resource_type)
                if not isinstance(event, TypeDone) and event.problems:
                    [problem, *_] = event.problems
                    return Finding(
                        Check.TYPES, Verdict.NOTE, problem.code, problem.message, problem.remedy, resource_type
                    )
                break
    except HoloVitalsError as error:
        return refused(Check.TYPES, error, resource_type)
    return works(Check.TYPES, "probe.readable", "can be read", resource_type)


def _clock(adapter: Adapter) -> list[Finding]:
    skew = adapter.clock_skew_seconds()
    if skew <= _FAR_SECONDS:
        return [works(Check.CLOCK, "probe.clock", "the vendor's clock agrees with this machine's")]
    return [
        Finding(
            Check.CLOCK,
            Verdict.NOTE,
            "probe.clock_skew",
            f"the vendor's clock is {skew:,.0f} s from this machine's",
            "set this machine's clock (NTP). Reads go by the vendor's clock; tokens and 'who was later' go by both",
        )
    ]


def _not_offered(connection: ConnectionConfig, mechanisms: Mapping[str, ChangeMechanism]) -> list[Finding]:
    return [
        Finding(
            Check.TYPES,
            Verdict.FAULT,
            "extract.type_not_offered",
            "is in resource_types, and the connection does not offer it",
            f"take it out of resource_types, or choose from: {', '.join(mechanisms)}",
            name,
        )
        for name in connection.resource_types or ()
        if name not in mechanisms
    ]


def _writes(connection: ConnectionConfig, writes: Sequence[TypeWrites]) -> list[Finding]:
    """Whether what the settings allow is there to be done. Nothing is sent."""
    settings = connection.write
    if not settings.enabled:
        return []
    writable = {one.resource_type for one in writes if one.operations}
    impossible = [name for name in settings.resource_types or () if name not in writable]
    findings = [
        Finding(
            Check.WRITES,
            Verdict.FAULT,
            "probe.not_writable",
            "is in write.resource_types, and the vendor lets it neither be created, updated nor deleted",
            "take it out of write.resource_types; what differs is listed by `holovitals standing`",
            name,
        )
        for name in impossible
    ]
    if not writable:
        findings.append(
            Finding(
                Check.WRITES,
                Verdict.FAULT,
                "probe.nothing_writable",
                "writing is enabled, and the vendor declares no write of any type of this connection",
                "set write.enabled to false, or ask the site to permit writing",
            )
        )
    for operation, wanted in (("create", settings.creates), ("delete", settings.deletes)):
        if wanted and writable and not any(operation in one.operations for one in writes):
            findings.append(
                Finding(
                    Check.WRITES,
                    Verdict.NOTE,
                    f"probe.no_{operation}",
                    f"write.{operation}s is set, and the vendor lets nothing be {operation}d",
                    f"nothing is lost by leaving it; setting write.{operation}s to false says what is the case",
                )
            )
    return findings
