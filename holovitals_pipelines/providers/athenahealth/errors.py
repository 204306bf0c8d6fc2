"""What athenahealth's v1 API says when it refuses, as recorded and documented (vendors.md §5.2, §5.3, §5.7)."""

from __future__ import annotations

from typing import Final

from holovitals_pipelines.model.errors import ErrorAction
from holovitals_pipelines.providers.answers import Meaning, VendorRule
from holovitals_pipelines.providers.phrases import PhraseTable, phrase

NOT_SUBSCRIBED: Final = "athenahealth.not_subscribed"

THROTTLED: Final = VendorRule(
    Meaning.TRANSIENT,
    "http.throttled",
    "too many requests",
    "lower read.requests_per_second or read.concurrency; nothing was done",
    words="Developer Over Qps",
    action=ErrorAction.WAIT,
)
"""429, and the 403 of the old gateway, told by a header of its own."""

ATHENA_ERRORS: PhraseTable = (
    phrase(
        VendorRule(
            Meaning.NOT_PERMITTED,
            NOT_SUBSCRIBED,
            "changes are not collected: nobody has subscribed to them",
            "nothing: the next full read of the type subscribes",
            words="Changed messages require setup (subscription) that has not been done.",
        ),
        403,
    ),
    phrase(THROTTLED, 403, 429),
    phrase(
        VendorRule(
            Meaning.PERMANENT,
            "athenahealth.not_the_api",
            "the gateway knows no such address",
            "check base_url: it ends with /v1/ and the practice's number; nothing is taken as deleted",
            words="Service not registered with API gateway.",
            action=ErrorAction.FIX_DATA,
        ),
        404,
    ),
    phrase(
        VendorRule(
            Meaning.STALE,
            "athenahealth.frozen",
            "the appointment's slot is taken or frozen by somebody else",
            "nothing: the appointment is read and decided on",
            words="Appointment is already frozen.",
        ),
    ),
    phrase(
        VendorRule(
            Meaning.PERMANENT,
            "athenahealth.invalid_input",
            "a field has a value that the practice does not take",
            "correct the element that becomes the field; the field is named in the vendor's words",
            words="Invalid … input",
            action=ErrorAction.FIX_DATA,
        ),
    ),
)
"""unverified: the words of other refusals. They are shown as far as they name nobody, and count as "fix data" where
they answer a write."""
