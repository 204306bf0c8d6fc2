"""Unity's published words and shapes: sections, zones, dates as they are written, and what it says when it refuses."""

from __future__ import annotations

SECTIONS: dict[str, str] = {
    "Allergies": "AllergyIntolerance",
    "Problems": "Condition",
    "Medications": "MedicationRequest",
    "Immunizations": "Immunization",
    "Vitals": "Observation",
    "Results": "Observation",
}
"""Section of the clinical summary → what the population holds for it."""

OBSERVATION_SECTIONS = {"vital-signs": "Vitals", "laboratory": "Results"}

ZONES = {
    "Eastern Standard Time": "America/New_York",
    "Central Standard Time": "America/Chicago",
    "Mountain Standard Time": "America/Denver",
    "US Mountain Standard Time": "America/Phoenix",
    "Pacific Standard Time": "America/Los_Angeles",
}
"""Windows' names, which GetServerInfo uses, → IANA's."""

DATES = ("%m/%d/%Y", "%Y-%m-%d", "%d-%b-%Y", "%b %-d %Y")
"""Forms of dates that were seen, without offset; one record may use another than its neighbour."""

TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
"""What may stand behind a date, with 24 or 12 hours."""

STATUSES: dict[str, dict[str, str]] = {
    "AllergyIntolerance": {"active": "Active", "inactive": "Inactive", "resolved": "Resolved"},
    "Condition": {
        **{"active": "Active", "recurrence": "Active", "relapse": "Active"},
        **{"inactive": "Inactive", "remission": "Inactive", "resolved": "Resolved"},
    },
    "MedicationRequest": {"active": "Active", "completed": "Complete", "stopped": "Discontinued"},
    "Immunization": {"completed": "Complete"},
    "Observation": {},
}
"""unverified: the vendor's words for a status; others are shown as FHIR has them."""

GENDERS = {"male": "Male", "female": "Female", "unknown": "Unknown", "other": "Unknown"}
GENDER_LETTERS = {"M": "male", "F": "female", "U": "unknown"}

PATIENT_TEXTS = (
    "mrn", "LastName", "Firstname", "middlename", "suffix", "gender", "dateofbirth", "MaritalStatus", "Addressline1",
    "AddressLine2", "City", "State", "ZipCode", "HomePhone", "WorkPhone", "cellphone", "Email", "Language", "Race",
)  # fmt: skip
"""unverified: the members of a row of GetPatient."""

PROVIDER_TEXTS = (
    "Security", "EntryCode", "Profession", "DefaultSiteCode", "supervisingdefaultID", "Credentials", "UserInactive",
    "Middle", "SecSpecialty", "ProviderInactive", "Username", "LastName", "DefaultSiteName", "rxsupervisionrequired",
    "CanPrescribeFlag", "UserType", "personid", "PrimSpecialty", "orderingauthority", "supervisingdefaultName",
    "FirstName",
)  # fmt: skip
"""The members of a row of GetProviders."""

CHART_TEXTS = (
    "detail", "code", "transid", "status", "XMLDetail", "entrycode", "description", "section", "displaydate",
)  # fmt: skip

NO_LICENCE = "error: Username and Password not valid for any licenses on this server"
LOGGED_OUT = "As a Security precaution, you have been logged out due to inactivity."
# unverified: the texts of the refusals below; only the one above is on record.
NOT_LOGGED_IN = "The user has not been authenticated."
NO_SUCH_ACTION = "The action is not supported."
NO_SUCH_PATIENT = "Patient not found."
NOT_TAKEN = "The data could not be saved."

RETIRED = '<RetireSecurityTokenResponse xmlns="http://www.allscripts.com/Unity"/>'
