"""Writes docs/vendor-errors.md from the tables by which vendors' errors are understood.

Law: the page is what the code says, and nothing else; a vendor without a table of its own is told by FHIR's and HTTP's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from holovitals_pipelines.model.errors import ErrorAction, VendorError
from holovitals_pipelines.providers.allscripts.errors import UNITY_ERRORS
from holovitals_pipelines.providers.answers import VendorRule, VendorTable
from holovitals_pipelines.providers.athenahealth.errors import ATHENA_ERRORS
from holovitals_pipelines.providers.cerner_errors import CERNER_RULES
from holovitals_pipelines.providers.eclinicalworks_errors import ECW_ERRORS
from holovitals_pipelines.providers.epic_errors import EPIC_ERRORS
from holovitals_pipelines.providers.hl7v2.error_codes import TABLE_0357
from holovitals_pipelines.providers.nextgen.errors import NEXTGEN_ERRORS
from holovitals_pipelines.providers.phrases import PhraseTable

PAGE = "vendor-errors.md"

ACTIONS: Mapping[ErrorAction, str] = {
    ErrorAction.RETRY: "Nothing. It is asked again; a write whose answer was lost only after the vendor was read.",
    ErrorAction.WAIT: "Nothing. It is asked again when the vendor has said, or the limit has passed.",
    ErrorAction.REAUTHENTICATE: "Where it stays after a new token: check the credentials, and who else uses them.",
    ErrorAction.CONFLICT: "Nothing. The vendor is read again, and what it holds is decided on.",
    ErrorAction.DUPLICATE: "Nothing, or a review: the record that is there is looked up and linked.",
    ErrorAction.NOT_PERMITTED: "Ask the site to permit it, or leave it out of the connection's settings.",
    ErrorAction.FIX_DATA: "Correct the record or the setting; the same again cannot help.",
    ErrorAction.POISON: "Look at what was set aside; nothing else waits for it.",
}
"""What somebody who reads the error does."""

_BY_STATUS: Sequence[tuple[str, ErrorAction, str]] = (
    ("401", ErrorAction.REAUTHENTICATE, "the token is renewed once, then told"),
    ("403, 405, 501", ErrorAction.NOT_PERMITTED, ""),
    ("404, 410", ErrorAction.CONFLICT, "an absence only where the vendor says it, never a gateway"),
    ("408, 5xx", ErrorAction.RETRY, "of a write: the outcome is unknown, and the vendor is read"),
    ("409, 412 to a write that named a version", ErrorAction.CONFLICT, ""),
    ("425, 429, 503 with Retry-After", ErrorAction.WAIT, "as long as it says"),
    ("423", ErrorAction.WAIT, "to a write: locked"),
    ("other 4xx to a read", ErrorAction.POISON, ""),
    ("other 4xx to a write", ErrorAction.FIX_DATA, ""),
    ("an answer that is not the protocol's", ErrorAction.POISON, "HTML, damaged JSON, another shape"),
)


def vendor_errors_page() -> str:
    """docs/vendor-errors.md."""
    return "\n".join([*_introduction(), *_tables()]) + "\n"


def _introduction() -> Iterator[str]:
    yield "# Vendors' errors"
    yield ""
    yield "Made from the tables in `holovitals_pipelines/providers`; do not edit"
    yield "(`python -m holovitals_pipelines.providers.document_errors docs`)."
    yield ""
    yield "The body of an answer is asked first, its status second: vendors say errors inside 200. What it means is one"
    yield "of eight actions, and the remedy of every error begins with it, in brackets."
    yield ""
    yield "| action | what to do |"
    yield "|---|---|"
    for action, words in ACTIONS.items():
        yield f"| `[{action}]` | {words} |"
    yield ""
    yield "An error shows the vendor's own words: those of the tables below as they stand, with `…` for whatever the"
    yield "vendor puts in. Of other texts only words that can name nobody are shown, and `…` for the rest."
    yield ""
    yield "## By status, where no table says more"
    yield ""
    yield "| answer | action | |"
    yield "|---|---|---|"
    for statuses, action, note in _BY_STATUS:
        yield f"| {statuses} | `[{action}]` | {note} |"


def _tables() -> Iterator[str]:
    yield from _codes("Epic", "Codes of an OperationOutcome, `issue.details.coding.code`.", EPIC_ERRORS)
    yield from _rules("Oracle Health (Cerner)", "Told by status and words.", [("", rule) for rule in CERNER_RULES])
    yield from _phrases("athenahealth", "Words of a plain answer, or of `error` and `errormessage`.", ATHENA_ERRORS)
    yield from _phrases(
        "Allscripts (Unity)", "Words of `Error`, or of a token's answer, with status 200.", UNITY_ERRORS
    )
    yield from _phrases("NextGen", "Words of `message`.", NEXTGEN_ERRORS)
    yield from _codes("eClinicalWorks", "Codes of a write-back with their keys, with status 200.", ECW_ERRORS)
    yield from _heading("MEDITECH (HL7 v2)", "Codes of an ERR segment, table 0357.")
    for code, rule in TABLE_0357.items():
        usual = rule.error.usual_action if issubclass(rule.error, VendorError) else ErrorAction.FIX_DATA
        yield f"| `{code}` {rule.words} | {_action(rule.action or usual)} | `{rule.code}` | {rule.remedy} |"


def _heading(name: str, where: str) -> Iterator[str]:
    yield ""
    yield f"## {name}"
    yield ""
    yield where
    yield ""
    yield "| the vendor says | action | our code | meaning and remedy |"
    yield "|---|---|---|---|"


def _codes(name: str, where: str, table: VendorTable) -> Iterator[str]:
    yield from _rules(name, where, [(f"`{code}` ", rule) for code, rule in table.items()])


def _phrases(name: str, where: str, table: PhraseTable) -> Iterator[str]:
    statuses = [", ".join(map(str, sorted(one.statuses))) for one in table]
    rules = [(f"{told}: " if told else "", one.rule) for told, one in zip(statuses, table, strict=True)]
    yield from _rules(name, where, rules)


def _rules(name: str, where: str, rules: Sequence[tuple[str, VendorRule]]) -> Iterator[str]:
    yield from _heading(name, where)
    for code, rule in rules:
        said = rule.words.removeprefix(code.strip("` ")).strip()
        remedy = f"; {rule.remedy}" if rule.remedy else ""
        yield f"| {f'{code}{said}'.strip()} | {_action(rule.next_action)} | `{rule.code}` | {rule.message}{remedy} |"


def _action(action: ErrorAction | None) -> str:
    return f"`[{action}]`" if action is not None else "none: no error"


if __name__ == "__main__":
    (Path(sys.argv[1]) / PAGE).write_text(vendor_errors_page(), encoding="utf-8")
