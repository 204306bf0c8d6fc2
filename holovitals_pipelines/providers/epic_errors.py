"""Epic's registry of OperationOutcome codes, as far as reading and writing meet them (vendors.md §3.3).

Its own words are those of each answer, as far as they name nobody; the registry's are summarised there, not quoted.
"""

from __future__ import annotations

from types import MappingProxyType

from holovitals_pipelines.model.errors import ErrorAction
from holovitals_pipelines.providers.answers import Meaning, VendorRule, VendorTable

MERGED = "epic.merged"
DELETED = "epic.deleted"
BREAK_THE_GLASS = "epic.break_the_glass"
PARTIAL = "epic.partial"
DAILY_LIMIT = "epic.daily_limit"

_ASK_EPIC = "report it with the vendor code: the request is not one this server takes"
_OUR_MISTAKE = "report it as a defect of this product, with the vendor code"
_CORRECT = (
    "correct the resource by what Epic's documentation says of the type, or leave the type out of what is written"
)
_MAPPING = "ask the site to map the codes to flowsheet rows, or leave such observations out of what is written"
_SITE_MAPPING = "ask the site to correct the mapping"


def _permanent(code: str, message: str, remedy: str = _ASK_EPIC) -> VendorRule:
    to_correct = remedy in (_CORRECT, _MAPPING, _SITE_MAPPING)
    return VendorRule(Meaning.PERMANENT, code, message, remedy, action=ErrorAction.FIX_DATA if to_correct else None)


_BREAK_THE_GLASS = VendorRule(
    Meaning.NOT_PERMITTED,
    BREAK_THE_GLASS,
    "the patient's record is behind Break-the-Glass",
    "never repeated by machine: the site decides whether this client may see such records",
)

EPIC_ERRORS: VendorTable = MappingProxyType(
    {
        "4100": _permanent("epic.invalid_parameter", "Epic refuses a search parameter"),
        "4101": VendorRule(Meaning.IGNORE, "epic.no_results", "the search has no results"),
        "4102": VendorRule(
            Meaning.NOT_FOUND, "epic.invalid_id", "Epic does not know the id", "check where the id is from"
        ),
        "4103": VendorRule(Meaning.DELETED, DELETED, "Epic has deleted the resource"),
        "4104": _permanent("epic.element_unavailable", "an element the resource must have is not available in Epic"),
        "4107": VendorRule(
            Meaning.MERGED,
            MERGED,
            "Epic has merged the resource into another",
            "link the record to the survivor: read the patient's survivor, then review the identities",
        ),
        "4110": _permanent("epic.no_parameters", "Epic refuses a search without parameters", _OUR_MISTAKE),
        "4111": _permanent("epic.missing_parameter", "a parameter Epic requires is missing", _OUR_MISTAKE),
        "4112": _permanent("epic.bad_combination", "Epic refuses the combination of parameters", _OUR_MISTAKE),
        "4113": VendorRule(
            Meaning.SESSION_EXPIRED,
            "search.session_expired",
            "Epic's paging session expired, and expired again after new starts",
            "lower read.page_size or read.concurrency, so that pages are fetched sooner",
        ),
        "4115": _permanent("epic.invalid_value", "a required parameter has a value Epic refuses"),
        "4116": _permanent("epic.session_changed", "the query changed within a paging session", _OUR_MISTAKE),
        "4117": VendorRule(Meaning.NOTICE, "epic.no_cvx", "a vaccine has no CVX code"),
        "4118": VendorRule(
            Meaning.NOT_PERMITTED,
            "epic.not_authorized",
            "the Epic user this client is mapped to may not do this",
            "ask the site to give the client's background user the security point",
        ),
        "4119": VendorRule(
            Meaning.PARTIAL,
            PARTIAL,
            "Epic says more data may exist for the patient than it shows",
            "ask the site which data is filtered for this client; nothing is taken as deleted meanwhile",
        ),
        "4122": VendorRule(
            Meaning.NOTICE,
            "epic.parameter_ignored",
            "Epic does not know a search parameter and ignored it",
            _OUR_MISTAKE,
        ),
        "4127": _permanent("epic.too_many_patients", "a patient search finds more than Epic returns (100)"),
        "4130": _BREAK_THE_GLASS,
        "4131": _BREAK_THE_GLASS,
        "4134": VendorRule(
            Meaning.PARTIAL,
            BREAK_THE_GLASS,
            "some of the patient's data is behind Break-the-Glass",
            "the site decides whether this client may see such records",
        ),
        "4135": VendorRule(
            Meaning.DEFERRED,
            DAILY_LIMIT,
            "the day's limit of document queries is reached",
            "read the type again tomorrow, or read it less often; what was read is kept",
        ),
        "40000": _permanent("epic.mapping", "a mapping table at the site is wrong", _SITE_MAPPING),
        "59100": VendorRule(Meaning.NOTICE, "epic.content_noted", "Epic remarks on the content"),
        "59101": VendorRule(Meaning.NOTICE, "epic.content_doubted", "Epic doubts the content and takes it"),
        "59102": _permanent(
            "epic.content_invalid", "Epic refuses the content: it breaks the specification or a profile", _CORRECT
        ),
        "59105": _permanent("epic.structure", "Epic refuses the structure of the request"),
        "59108": _permanent("epic.missing_parameter", "a parameter Epic requires is missing", _OUR_MISTAKE),
        "59109": VendorRule(Meaning.NOTICE, "epic.optional_invalid", "Epic ignored an optional parameter's value"),
        "59111": _permanent("epic.invalid_value", "a required parameter has a value Epic refuses"),
        "59133": VendorRule(
            Meaning.PARTIAL,
            "epic.too_many_patients",
            "a patient search is too wide for Epic: too few demographics, or more than 100 results",
            _OUR_MISTAKE,
        ),
        "59141": VendorRule(
            Meaning.DUPLICATE,
            "epic.duplicate",
            "Epic has such a record already",
            "link to the one that is there: it is looked up before anything is created again",
        ),
        "59144": _permanent("epic.reference_not_found", "Epic does not find what the resource refers to", _CORRECT),
        "59159": _permanent("epic.business_rule", "a business rule of the site forbids the content", _CORRECT),
        "59177": VendorRule(
            Meaning.TRANSIENT,
            "epic.internal",
            "Epic had an internal error",
            "run the job again; tell the site if it stays",
        ),
        "59187": _permanent("epic.no_flowsheet", "the patient has no flowsheet to file the observation in", _MAPPING),
        "59188": _permanent("epic.no_flowsheet_row", "no single flowsheet row fits the observation's codes", _MAPPING),
        "59189": _permanent("epic.not_filed", "Epic could not file the observation", _MAPPING),
    }
)
