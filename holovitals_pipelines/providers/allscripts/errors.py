"""What Unity says when it refuses, with status 200, as recorded (vendors.md §6.1)."""

from __future__ import annotations

from typing import Final

from holovitals_pipelines.providers.answers import Meaning, VendorRule
from holovitals_pipelines.providers.phrases import PhraseTable, phrase

SESSION_ENDED: Final = "unity.session_ended"
NO_TOKEN: Final = VendorRule(
    Meaning.AUTHENTICATION,
    "unity.no_token",
    "Unity gives no token: the service account is not valid for a licence there",
    "check auth.service_user, auth.service_password and auth.application; Unity's are changed twice a year",
    words="error: Username and Password not valid for any licenses on this server",
)
"""What is no token is a refusal, whatever it says."""

UNITY_ERRORS: PhraseTable = (
    phrase(
        VendorRule(
            Meaning.AUTHENTICATION,
            SESSION_ENDED,
            "Unity ended the session, and again after a new one was made",
            "look whether another client uses the same account; sessions end after 20 minutes without a call",
            words="As a Security precaution, you have been logged out due to inactivity.",
        ),
    ),
    phrase(NO_TOKEN),
)
"""unverified: the words of other errors, which Unity writes after `Magic Error - Action: <action> - `. They are shown
as far as they name nobody; of a read they count as "not permitted", of a write as "fix data"."""
