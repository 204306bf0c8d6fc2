"""What a connection is: one tenant at one vendor, as declared in `connections.yaml`.

Secrets appear only as references (`{env: NAME}` or `{file: path}`); resolving them is the settings module's work.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from holovitals_pipelines.model.vocabulary import Provider

ConnectionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
"""Doubles as the Dagster asset key prefix, so it keeps to Dagster's alphabet."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretRef(_Strict):
    """Where a secret is: exactly one of an environment variable or a file. The secret itself is never written here."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("give exactly one of env or file")
        return self


class NoAuth(_Strict):
    kind: Literal["none"] = "none"


class SmartBackendAuth(_Strict):
    """SMART Backend Services (private_key_jwt). Keys are private JWKs or PEM; rotation lists the newest first."""

    kind: Literal["smart_backend"]
    client_id: str
    keys: list[SecretRef] = Field(min_length=1)
    algorithm: Literal["RS384", "ES384"] = "RS384"
    scopes: str | None = None
    """Space-separated. None sends no scope parameter, as Epic prefers (vendors.md §3.2)."""
    token_url: str | None = None
    """None: discovered from `{base_url}/.well-known/smart-configuration`."""
    jku: str | None = None


class ClientSecretAuth(_Strict):
    """OAuth 2 client credentials with a secret: athenahealth (vendors.md §5.1), NextGen's native API (§7.1)."""

    kind: Literal["client_secret"]
    client_id: str
    client_secret: SecretRef
    sent_as: Literal["basic", "form"] = "basic"
    """How client id and secret reach the token endpoint."""
    scopes: str | None = None
    site_id: str | None = None
    """NextGen names the site in the token request."""
    token_url: str | None = None
    """None: where the vendor's documentation has it, seen from base_url."""


class UnityAuth(_Strict):
    """Veradigm Unity: a service account for the token, then an EHR user for the session (vendors.md §6.1)."""

    kind: Literal["unity"]
    application: str
    service_user: SecretRef
    service_password: SecretRef
    ehr_user: str
    ehr_password: SecretRef


Auth = Annotated[NoAuth | SmartBackendAuth | ClientSecretAuth | UnityAuth, Field(discriminator="kind")]


class VendorSettings(_Strict):
    """What only some vendors' APIs need to know; an adapter that misses one of its own says so."""

    department_ids: list[str] = Field(default_factory=list)
    """athenahealth: departments whose patients and charts are read and written; the first is named in writes."""
    enterprise_id: str | None = None
    practice_id: str | None = None
    """NextGen: the practice of the session (`login-defaults`)."""
    timezone: str | None = None
    """The zone of a vendor's local times, as an IANA name; None: as the vendor says, else such times stay days."""


class TlsFiles(_Strict):
    """The files of a TLS endpoint of ours, or of a vendor's that no public authority vouches for."""

    certificate: str | None = None
    """Our certificate chain, PEM; a listener needs one."""
    key: SecretRef | None = None
    """Its private key."""
    authorities: str | None = None
    """Who vouches for the other side, PEM. A listener that has it takes only senders with a certificate."""


class ListenAt(_Strict):
    """One port at which the vendor's HL7 v2 messages are taken."""

    name: str = Field(default="feed", pattern=r"^[a-z][a-z0-9_]{0,40}$")
    """MEDITECH sends admissions and results over links of their own (vendors.md §9.2)."""
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535)
    """0 lets the system choose."""
    tls: TlsFiles | None = None


class Hl7v2Settings(_Strict):
    """HL7 v2 over MLLP: where the vendor sends to, how its messages are read, and how ours are addressed."""

    listen: list[ListenAt] = Field(default_factory=list)
    encoding: str = "utf-8"
    """Of messages whose MSH-18 names no character set."""
    refuse_poison: bool = False
    """Whether a message that cannot be used is answered AE, so that the sender stops or repeats it. The default keeps
    it as a dead letter and answers AA: one bad message must not hold up the feed."""
    max_message_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    tls: TlsFiles | None = None
    """Of the link on which we send (`mllps://`)."""
    version: Literal["2.3", "2.4", "2.5.1"] = "2.4"
    application: str = "HOLOVITALS"
    facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    """MSH-3 to 6 and MSH-12 of what we send."""
    processing_id: Literal["P", "T", "D"] = "P"
    ack_timeout_seconds: float = Field(default=30.0, gt=0)


class ReadSettings(_Strict):
    """How to read from the connection; every default is the adapter's own unless given."""

    mode: Literal["auto", "search", "bulk"] = "auto"
    group: str | None = None
    """Bulk Data Group id, where exports are by group (Epic)."""
    patient_ids: SecretRef | None = None
    """A file of patient ids, one a line, for vendors without population search."""
    page_size: int = Field(default=200, ge=1, le=10_000)
    concurrency: int = Field(default=4, ge=1, le=64)
    overlap_seconds: int = Field(default=130, ge=0)
    """sync-protocol.md §2.4: incremental reads start this much before the watermark."""
    date_rescan_days: float = Field(default=30.0, ge=0)
    """Where a vendor finds changes by clinical dates only, incremental reads re-read this many days before the
    watermark (vendors.md §13.2); edits of older rows are found by the next full read."""
    max_resource_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    timeout_seconds: float = Field(default=60.0, gt=0)
    max_retries: int = Field(default=5, ge=0)
    retry_delay_ms: int = Field(default=500, ge=1)
    max_poll_seconds: float = Field(default=300.0, gt=0)
    """Bulk status polls never wait longer than this, whatever Retry-After says."""
    bulk_deadline_seconds: float = Field(default=30 * 86_400, gt=0)
    requests_per_second: float | None = Field(default=None, gt=0)
    """None: the vendor's own bucket."""


class AttachmentSettings(_Strict):
    """What records point to, such as documents' texts: whether it is fetched, and how much of it."""

    fetch: bool = True
    max_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """Of one content; larger ones are listed and not fetched."""
    a_job: int = Field(default=2_000, ge=1)
    """At most so many are fetched by one job; the next one goes on."""
    attempts: int = Field(default=5, ge=1)
    """So many jobs try to fetch what failed."""


class WriteSettings(_Strict):
    """What may be written to the vendor. The default is: nothing."""

    enabled: bool = False
    resource_types: list[str] | None = None
    """None: every synced type whose writing the vendor offers."""
    creates: bool = False
    deletes: bool = False
    read_only_elements: dict[str, list[str]] = Field(default_factory=dict)
    """By resource type: top-level elements that are never written, whatever the vendor would take."""
    delete_breaker_share: float = Field(default=0.05, gt=0, le=1)
    """More deletes of a type than this share in one run stop the run and ask (sync-protocol.md §8.4, F18) ..."""
    delete_breaker_at_least: int = Field(default=5, ge=1)
    """... once there are at least so many of them."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """How long an answer to a write is awaited; after that its outcome is unknown and is found out by reading."""


class ConnectionConfig(_Strict):
    """One entry of `connections.yaml`."""

    name: ConnectionName
    provider: Provider
    base_url: str = Field(pattern=r"^(https?|mllps?)://\S+$")
    """`mllp://host:port` and `mllps://` where HL7 v2 messages are sent; `https://` everywhere else."""
    auth: Auth = NoAuth()
    vendor: VendorSettings = VendorSettings()
    hl7v2: Hl7v2Settings = Hl7v2Settings()
    format: Literal["FHIR_R4", "FHIR_STU3", "FHIR_DSTU2"] | None = None
    """What the records are written in; None: the provider's own form. FHIR_R4 chooses the FHIR interface of a vendor
    that has another one too. Older versions become R4 and are read only (docs/fhir-versions.md)."""
    resource_types: list[str] | None = None
    """None: every type the adapter offers for this provider."""
    read: ReadSettings = ReadSettings()
    write: WriteSettings = WriteSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    incremental_cron: str | None = "*/15 * * * *"
    full_cron: str | None = None
    anti_entropy_cron: str | None = "30 2 * * *"
    """When both sides are compared in full; None: never by itself."""
    unsigned_hints: bool = False
    """Whether files without a signature are taken from the drop folder; they only say what is to be read again."""
    owner: Annotated[str, Field(pattern=r"^(team:[\w.-]+|[^@\s:]+@[^@\s:]+\.[^@\s.:]+)$")] = "team:data-eng"
    """Who answers for it, as Dagster shows it: `team:name`, or an e-mail address."""
    enabled: bool = True
