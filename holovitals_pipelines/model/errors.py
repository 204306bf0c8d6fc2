"""The errors this product raises, each with code, place and remedy, written for the person who reads them at night.

    HoloVitalsError
    ├── ConfigurationError        settings or connections.yaml are wrong; nothing was started
    ├── VendorError               the vendor's side of a connection
    │   ├── TransientError        worth repeating: 5xx, 408, 429, timeouts, dropped connections
    │   │   └── OutcomeUnknownError  a write whose answer was lost: it may or may not have happened
    │   └── PermanentError        repeating cannot help
    │       ├── AuthenticationError
    │       ├── NotPermittedError   403, Break-the-Glass, unsupported interaction
    │       ├── NotFoundError       404
    │       ├── GoneError           410 or a vendor's "deleted"
    │       ├── VersionConflictError  a guarded write met another version than it named
    │       ├── DuplicateError      a create the vendor refuses because it has such a resource already
    │       └── ProtocolError       an answer that is not what the protocol says (HTML, truncated, wrong shape)
    ├── StoreError                a store is missing, damaged or refuses
    └── JobError                  a job cannot start or go on
        ├── JobBusyError          another live job holds the connection
        └── ForbiddenMoveError    a status change the state machine does not allow

No message may contain a value from a resource: ids and contents stay in the stores (design.md §11).
"""

from __future__ import annotations


class HoloVitalsError(Exception):
    """What happened, where, and what to do about it.

    `code` is stable and greppable (`bulk.file_truncated`); `place` names connection, file or URL template and line.
    """

    def __init__(self, message: str, *, code: str, place: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.message}" if self.place else self.message]
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        return f"[{self.code}] " + " ".join(parts)


class ConfigurationError(HoloVitalsError):
    pass


class VendorError(HoloVitalsError):
    """An error on the vendor's side; `status` is the HTTP status where there was one."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        place: str = "",
        remedy: str = "",
        status: int | None = None,
        vendor_code: str | None = None,
    ) -> None:
        super().__init__(message, code=code, place=place, remedy=remedy)
        self.status = status
        self.vendor_code = vendor_code


class TransientError(VendorError):
    pass


class OutcomeUnknownError(TransientError):
    pass


class PermanentError(VendorError):
    pass


class AuthenticationError(PermanentError):
    pass


class NotPermittedError(PermanentError):
    pass


class NotFoundError(PermanentError):
    pass


class GoneError(PermanentError):
    pass


class VersionConflictError(PermanentError):
    pass


class DuplicateError(PermanentError):
    pass


class ProtocolError(PermanentError):
    pass


class StoreError(HoloVitalsError):
    pass


class JobError(HoloVitalsError):
    pass


class JobBusyError(JobError):
    pass


class ForbiddenMoveError(JobError):
    pass
