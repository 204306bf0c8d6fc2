"""What NextGen's native API says when it refuses, in the `message` of its answers, as recorded (vendors.md §7.1)."""

from __future__ import annotations

from holovitals_pipelines.model.errors import ErrorAction
from holovitals_pipelines.providers.answers import Meaning, VendorRule
from holovitals_pipelines.providers.phrases import Phrase, PhraseTable, phrase

_OUR_MISTAKE = "report it as a defect of this product, with the code"
_AT_THE_SITE = "the site decides: ask it to change that, or leave the record out of what is written"


def _says(words: str, status: int, meaning: Meaning, code: str, message: str, remedy: str = _OUR_MISTAKE) -> Phrase:
    action = ErrorAction.FIX_DATA if code == "nextgen.not_a_guid" else None
    return phrase(VendorRule(meaning, code, message, remedy, words=words, action=action), status)


NEXTGEN_ERRORS: PhraseTable = (
    _says(
        "The value '…' is not valid for Guid.",
        400,
        Meaning.PERMANENT,
        "nextgen.not_a_guid",
        "an id is not one of NextGen's: they are GUIDs",
        "check the ids in read.patient_ids and those the job was given",
    ),
    _says(
        "Argument … cannot be null.",
        400,
        Meaning.PERMANENT,
        "nextgen.missing_argument",
        "an argument that NextGen requires is missing",
    ),
    _says(
        "Two or more characters are required to search",
        400,
        Meaning.PERMANENT,
        "nextgen.search_too_short",
        "a search has too few characters",
    ),
    _says(
        "Eligibility data for person not does exist.",
        400,
        Meaning.NOT_FOUND,
        "nextgen.no_eligibility",
        "NextGen holds no eligibility data of the person",
        "nothing: there is none to read",
    ),
    _says(
        "dosage range not found",
        400,
        Meaning.NOT_FOUND,
        "nextgen.no_dosage_range",
        "NextGen holds no dosage range for the medication",
        "nothing: there is none to read",
    ),
    _says(
        "The encounter '…' is locked.",
        400,
        Meaning.NOT_PERMITTED,
        "nextgen.encounter_locked",
        "the encounter is locked: it can be read and not written",
        _AT_THE_SITE,
    ),
    _says(
        "The provider is not enabled for PAQ.",
        400,
        Meaning.NOT_PERMITTED,
        "nextgen.provider_not_enabled",
        "the provider is not enabled for what was asked",
        _AT_THE_SITE,
    ),
    _says(
        "The requested resource does not support http method '…'.",
        405,
        Meaning.NOT_PERMITTED,
        "nextgen.no_such_method",
        "NextGen does not offer this at the address",
    ),
    _says(
        "No HTTP resource was found that matches the request URI '…'.",
        404,
        Meaning.PERMANENT,
        "nextgen.no_such_address",
        "there is no such address",
        "check base_url: it ends with nge-api/api; nothing is taken as deleted",
    ),
)
"""409 to a POST of a person is a duplicate whatever it says (vendors.md §7.1); an empty 403 or 404 says what its status
says. unverified: how a lost session is worded: a 400, 401 or 403 that speaks of a session is taken for one."""
