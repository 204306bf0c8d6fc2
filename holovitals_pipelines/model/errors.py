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

from enum import StrEnum
from typing import ClassVar


class ErrorAction(StrEnum):
    """What an error on the vendor's side asks for: the first word of its remedy, and of docs/vendor-errors.md."""

    RETRY = "retry"
    """The same may be asked again, now or soon; a write whose answer was lost only after the vendor was read."""
    WAIT = "wait"
    """The vendor wants to be left alone for a while: a limit, a maintenance window, a lock."""
    REAUTHENTICATE = "re-authenticate"
    """A new token or session, or the credentials are wrong."""
    CONFLICT = "conflict"
    """The vendor holds something else than was thought: it is read again and decided on."""
    DUPLICATE = "duplicate"
    """The vendor has such a record already: it is looked up and linked, never created again."""
    NOT_PERMITTED = "not permitted"
    """The site decides whether this client may do it; no repetition and no other data help."""
    FIX_DATA = "fix data"
    """The content or a setting is refused: somebody has to correct it."""
    POISON = "poison"
    """It fails whatever is done: set aside with what came, never in the way of the rest."""


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
    """An error on the vendor's side; `status` is the HTTP status where there was one.

    `action` is what its class stands for unless told otherwise; the remedy begins with it.
    """

    usual_action: ClassVar[ErrorAction] = ErrorAction.POISON

    def __init__(
        self,
        message: str,
        *,
        code: str,
        place: str = "",
        remedy: str = "",
        status: int | None = None,
        vendor_code: str | None = None,
        action: ErrorAction | None = None,
    ) -> None:
        self.action = action or self.usual_action
        super().__init__(message, code=code, place=place, remedy=with_action(self.action, remedy))
        self.status = status
        self.vendor_code = vendor_code


def with_action(action: ErrorAction, remedy: str) -> str:
    """A remedy that begins with the action; one that was taken over from another error keeps its own."""
    return remedy if remedy.startswith("[") else f"[{action}] {remedy}".rstrip()


class TransientError(VendorError):
    usual_action = ErrorAction.RETRY


class OutcomeUnknownError(TransientError):
    pass


class PermanentError(VendorError):
    pass


class AuthenticationError(PermanentError):
    usual_action = ErrorAction.REAUTHENTICATE


class NotPermittedError(PermanentError):
    usual_action = ErrorAction.NOT_PERMITTED


class NotFoundError(PermanentError):
    usual_action = ErrorAction.CONFLICT


class GoneError(PermanentError):
    usual_action = ErrorAction.CONFLICT


class VersionConflictError(PermanentError):
    usual_action = ErrorAction.CONFLICT


class DuplicateError(PermanentError):
    usual_action = ErrorAction.DUPLICATE


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
