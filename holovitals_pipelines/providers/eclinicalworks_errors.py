"""eClinicalWorks' write-back codes, as its Error Code Reference Guide 1.0 (July 2026) has them (vendors.md §8).

Law: a code alone means nothing. 615 has two meanings, and the interface for HL7 notes, which is not spoken here, gives
301 to 308 others: a rule is found by this surface, the code and its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from holovitals_pipelines.model.errors import AuthenticationError, ErrorAction, NotPermittedError, VendorError
from holovitals_pipelines.providers.answers import Answer, Meaning, VendorRule, VendorTable
from holovitals_pipelines.providers.bulk import BUSY

SUCCESS = 1

_RETRY_ONCE = """
103 UNKNOWN_MAPPING_ERROR
104 UNKNOWN_TODO_MODULE_ERROR
112 UPLOAD_FTP_FAILED
115 INVALID_TODO_ID
136 UNKNOWN_ERROR_ON_ADT_ORG
306 STRUCT_DATA_UPDATE_FAILED
610 UNKNOWN_REFERRAL_MODULE_ERROR
703 DFT_PROCESSING_ERROR
"""
_REFERENCES = """
100 INVALID_PATIENT
101 INVALID_PROVIDER
107 INVALID_FACILITY
123 INVALID_ENCOUNTER
133 INVALID_PHARMACY_ID
134 PATINET_AND_PHARMACY_NOT_LINKED
164 INVALID_PATIENT_REFERENCE_IN_ENCOUNTER
165 INVALID_ID
205 INSURANCE_NOT_FOUND
206 PATIENT_INSURANCE_MISMATCH
207 PATIENT_NOT_FOUND
208 SUBSCRIBER_NOT_FOUND
601 INVALID_ANSWERED_BY_FIELD
606 INVALID_RENDERING_PROVIDER_EXTENSION
608 ID_NOT_MATCH_WITH_PATIENTID
615 INVALID_ORGNIZATION_ID
618 REASON_CODE_MAPPED_TO_DIFFERENT_PATIENT
701 INVALID_CHARGE_ITEM_REFERENCE
"""
_CONTENT = """
2 FAILURE
102 UNSUPPORTED_CODING_SYSTEM
105 INVALID_CATEGORY_FOR_ASSESSMENT
106 UNSUPPORTED_ENCOUNTER_STATUS
108 UNSUPPORTED_CHARACTERS
109 MAX_SIZE_LIMIT_EXCEEDED
110 INVALID_STATUS
111 UNSUPPORTED_ACTION_PRIORITY
113 UNSUPPORTED_TYPE_CODE
114 UNSUPPORTED_MIME_TYPE_IN_ATTACHMENT
116 INVALID_PERIOD_ELEMENT
117 INVALID_PATIENT_GENDER
118 INVALID_PATIENT_NAME
119 INVALID_PATIENT_DOB
120 INVALID_CODING_ELEMENT
121 INVALID_INTENT
122 INVALID_CATEGORY
124 INVALID_PRIMARY_SOURCE
132 NOT_FOUND_OR_INVALID_EXTENSION_IN_PATIENT_RESOURCE
135 PARAMETER_MAP_IS_EMPTY_ORG
137 INVALID_REQUEST_TYPE
138 INVALID_ENCOUNTER_TYPE
141 INVALID_CODEABLE_CONCEPT
142 INVALID_AUTHORED_ON
143 INVALID_TEXT
151 INVALID_EXTENSION
152 INVALID_EXTENSION_VALUE
161 INVALID_COMMUNICATION_PAYLOAD
166 FAILED_FOR_SERVICE_REQUEST_UPDATE
167 FAILURE_WHILE_CREATING_SURGICAL_HISTORY
168 FAILURE_WHILE_CREATING_MEDICAL_HISTORY
203 UNSUPPORTED_PATIENT_DATA
204 INVALID_DATE_FORMAT
301 STRUCT_DATA_SECTION_ITEMS_MISSING
302 STRUCT_DATA_CATEGORY_ITEMS_MISSING
303 STRUCT_DATA_UNSUPPORTED_STRUCTURE
304 STRUCT_DATA_NO_ITEMS_MAPPED
305 STRUCT_DATA_NO_VALID_QUESTIONS
307 STRUCT_DATA_INVALID_VALUE
600 UNSUPPORTED_REASON_TEXT
602 FAILED_TO_CREATE_WEB_ENCOUNTER
603 INVALID_RX_ORDER_NO
604 FAILURE_RECEIVED_FOR_ADD_MEDICATION_IN_RENEWAL_INSIGHT
605 INVALID_IDENTIFIER_ELEMENT
607 INVALID_CODE_ELEMENT
609 INVALID_ORGANIZATION_TYPE_CODE
611 INVALID_UNIT
612 INVALID_VITAL_VALUE
613 UNSUPPORTED_OBSERVATION
614 UNSUPPORTED_CHARACTER_FHIR_BUNDLE
616 INVALID_REASON_CODE
617 INVALID_REFERRAL_PERIOD_ELEMENT
619 INVALID_AUTH_TYPE_FORMAT
620 INVALID_REFERRAL_TYPE
621 INVALID_ICD_REASON_CODE
702 INVALID_CHARGE_ITEM_DATA
2024 RxNorm Code is mandatory for importing medication data
2025 One or more Rx Details is empty, RxItemID or RxStrength/Formulation not found
2026 Med type is unspecified, med type should be reconcile or new order
2027 RxNorm and NDC do not belong to the same drug compendia.
"""
_LOCKED = "139 ENCOUNTER_IS_LOCKED"
_CREATE_ONLY = "615 UPDATE_NOT_SUPPORTED_REFERRAL"
_NO_USER = "308 DEFAULT_WRITEBACK_USER_NOT_CONFIGURED"
_DUPLICATES = """
201 INVALID_MULTIPLE_PATIENT_FOUND
202 INVALID_PATIENT_ALREADY_EXIST
"""


def _rules(
    codes: str, meaning: Meaning, message: str, remedy: str, action: ErrorAction | None = None
) -> Iterator[tuple[str, VendorRule]]:
    for line in codes.strip().splitlines():
        number = line.partition(" ")[0]
        yield line, VendorRule(meaning, f"ecw.{number}", message, remedy, words=line, action=action)


ECW_ERRORS: VendorTable = MappingProxyType(
    dict(
        [
            *_rules(
                _RETRY_ONCE,
                Meaning.TRANSIENT,
                "the vendor failed on its own side",
                "nothing: it is sent once more, as the vendor's guide asks",
            ),
            *_rules(
                _REFERENCES,
                Meaning.PERMANENT,
                "the vendor does not accept what the resource refers to",
                "check that patient, encounter, provider, place and payer are this practice's and belong together",
                ErrorAction.FIX_DATA,
            ),
            *_rules(
                _CONTENT,
                Meaning.PERMANENT,
                "the vendor refuses the content",
                "correct the element the code names; the correction is sent",
                ErrorAction.FIX_DATA,
            ),
            *_rules(
                _LOCKED,
                Meaning.NOT_PERMITTED,
                "the encounter is locked, and what is locked is not to be changed",
                "have the practice unlock or amend it; the change is kept here and sent when either side changes",
            ),
            *_rules(
                _CREATE_ONLY,
                Meaning.NOT_PERMITTED,
                "the vendor lets a referral be created and not be changed",
                "make a new referral, or leave the type out of write.resource_types",
            ),
            *_rules(
                _NO_USER,
                Meaning.NOT_PERMITTED,
                "the practice has no user in whose name writes are filed",
                "ask the vendor's platform team to configure the write-back user, then edit the record again",
            ),
            *_rules(
                _DUPLICATES,
                Meaning.DUPLICATE,
                "the practice has such a patient already",
                "nothing: never created again; the patient is looked up and linked, or reviewed",
            ),
        ]
    )
)
"""By code and key, `139 ENCOUNTER_IS_LOCKED`: codes of OperationOutcomes have no space and never meet these."""

_SHORT_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "201 MULTIPLE_PATIENT_FOUND": "201 INVALID_MULTIPLE_PATIENT_FOUND",
        "202 PATIENT_ALREADY_EXIST": "202 INVALID_PATIENT_ALREADY_EXIST",
    }
)
_KEY = re.compile(r"[A-Z][A-Z0-9_]{1,80}")
"""What a key looks like: only then it is shown, because a sentence could name a patient."""


def write_back_rule(code: int, key: str) -> VendorRule:
    """What a code and its key mean; a code without a key only where it has one meaning.

    What is unknown is permanent, in the vendor's own words.
    """
    named = f"{code} {key}".strip()
    rule = ECW_ERRORS.get(_SHORT_KEYS.get(named, named))
    if rule is None and not key:
        alike = [rule for name, rule in ECW_ERRORS.items() if name.partition(" ")[0] == str(code)]
        rule = alike[0] if len(alike) == 1 else None
    if rule is not None:
        return rule
    return VendorRule(
        Meaning.PERMANENT,
        "ecw.unknown",
        "the vendor refuses the write by a code that is not in its guide",
        "ask the vendor's support what the code means; it is not sent again by itself",
        words=f"{code} {key}" if _KEY.fullmatch(key) else str(code),
    )


def read_judge(answer: Answer, place: str) -> VendorError | None:
    """Answers to exports whose meaning their status alone does not give."""
    if "$export" not in place:
        return None
    if answer.status == 401:
        return AuthenticationError(
            "the vendor refuses the export: by 401 it means the token, or the Group",
            code="ecw.token_or_group",
            place=place,
            remedy="check read.group first: the id of a Group made inside the EMR, in this practice, for this app",
            status=401,
        )
    # unverified: by which status and words; that it is rejected is documented
    if answer.status >= 400 and b"already in progress" in answer.body[:2000].lower():
        return NotPermittedError(
            "the vendor refuses an export while an identical one is in progress",
            code=BUSY,
            place=place,
            remedy="resume or wait for the job that started it",
            status=answer.status,
        )
    return None
