"""The patients a site names out of band, for vendors that list none: a file of ids, one a line (`read.patient_ids`).

Law: the list is read when it is needed, so that a changed file counts at the next read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from holovitals_pipelines.model.connection import ConnectionConfig, SecretRef
from holovitals_pipelines.model.errors import ConfigurationError


def listed_patients(config: ConnectionConfig, resolve_secret: Callable[[SecretRef], str]) -> list[str]:
    """The ids in the file's order; none where the connection names no file."""
    reference = config.read.patient_ids
    if reference is None:
        return []
    return [line.strip() for line in resolve_secret(reference).splitlines() if line.strip()]


def patients_to_ask_for(
    config: ConnectionConfig,
    resolve_secret: Callable[[SecretRef], str],
    known: Iterable[str],
    *,
    because: str,
    code: str,
    group: str = "a Group id from the site",
) -> list[str]:
    """Those listed and those known otherwise, in order; `because` says why the vendor has to be asked by patient.

    Raises ConfigurationError where there is none.
    """
    patients = sorted({*listed_patients(config, resolve_secret), *known})
    if not patients:
        raise ConfigurationError(
            f"{because}, and no patient is known at this connection",
            code=code,
            place=f"connection {config.name}",
            remedy=f"set read.group ({group}) or read.patient_ids (a file of ids, one a line)",
        )
    return patients
