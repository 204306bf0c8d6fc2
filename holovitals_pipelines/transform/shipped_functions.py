"""The functions we ship; where SQL can say the same it does, and the tests hold the two together.

Law: what a function cannot take is refused with a code, so that nothing is lost without a word.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from holovitals_pipelines.transform.columns import ColumnType
from holovitals_pipelines.transform.functions import Function, Functions, Refused
from holovitals_pipelines.transform.hl7_times import HL7_TIME_CODES, hl7_date, hl7_datetime
from holovitals_pipelines.transform.texts import trimmed, trimmed_sql
from holovitals_pipelines.transform.units import INCOMMENSURABLE, OUT_OF_RANGE, UNKNOWN_UNIT, convert

NOT_A_PHONE_NUMBER: Final = "not_a_phone_number"
NOT_A_REFERENCE: Final = "not_a_reference"
NOT_DIGITS: Final = "not_digits"

_TEXT: Final = ColumnType.STRING


def shipped_functions() -> Functions:
    """A new registry that holds ours; add your own to it."""
    functions = Functions()
    for function in _SHIPPED:
        functions.register(function)
    return functions


_PUNCTUATION: Final = "[ ().\\-/\t\u00a0\u2010-\u2015]"
_NORTH_AMERICAN: Final = "(?:\\+?1|0111)?([2-9][0-9]{2}[2-9][0-9]{6})"
_INTERNATIONAL: Final = "(?:\\+|011)([2-9][0-9]{6,14})"


def phone_e164(text: str) -> str | None:
    """`(555) 555-0123` as `+15555550123`: North American numbers, and others with + or 011.

    No extensions, which E.164 does not have: they are refused, not cut off.
    """
    written = re.sub(_PUNCTUATION, "", text)
    if not written:
        return None
    for pattern, prefix in ((_NORTH_AMERICAN, "+1"), (_INTERNATIONAL, "+")):
        match = re.fullmatch(pattern, written)
        if match is not None:
            return prefix + match[1]
    raise Refused(NOT_A_PHONE_NUMBER)


def _phone_sql(arguments: Sequence[str]) -> str:
    written = f"regexp_replace({arguments[0]}, '{_PUNCTUATION}', '', 'g')"
    return (
        f"CASE WHEN regexp_full_match({written}, '{_NORTH_AMERICAN}')"
        f" THEN '+1' || regexp_extract({written}, '^{_NORTH_AMERICAN}$', 1)"
        f" WHEN regexp_full_match({written}, '{_INTERNATIONAL}')"
        f" THEN '+' || regexp_extract({written}, '^{_INTERNATIONAL}$', 1) END"
    )


def _phone_code_sql(arguments: Sequence[str]) -> str:
    written = f"regexp_replace({arguments[0]}, '{_PUNCTUATION}', '', 'g')"
    known = f"'(?:{_NORTH_AMERICAN}|{_INTERNATIONAL})?'"
    return f"CASE WHEN NOT regexp_full_match({written}, {known}) THEN '{NOT_A_PHONE_NUMBER}' END"


def digits_only(text: str) -> str | None:
    """The digits 0 to 9 of a text; None where it has none."""
    return re.sub("[^0-9]", "", text) or None


def mrn_strip_zeros(text: str) -> str | None:
    """A record number without blanks around it and zeros before it; `000` is `0`."""
    number = trimmed(text)
    return number.lstrip("0") or "0" if number else None


def _mrn_sql(arguments: Sequence[str]) -> str:
    number = trimmed_sql(arguments[0])
    return f"CASE WHEN {number} <> '' THEN coalesce(nullif(ltrim({number}, '0'), ''), '0') END"


def luhn_check(text: str) -> bool:
    """Whether a number's last digit is the check digit of those before it. For an NPI: of `80840` and the NPI."""
    if not re.fullmatch("[0-9]{2,60}", text):
        raise Refused(NOT_DIGITS)
    digits = [int(digit) for digit in reversed(text)]
    return sum(digits[::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0


def base64_text(text: str) -> str:
    """The text's UTF-8 in base64, as `Attachment.data` has it."""
    return base64.b64encode(text.encode()).decode("ascii")


_TYPE: Final = "[A-Z][A-Za-z]{1,63}"
_ID: Final = "[A-Za-z0-9.-]{1,64}"


def reference(resource_type: str, id: str) -> str:
    """`Patient/123` of `Patient` and `123`."""
    if re.fullmatch(_TYPE, resource_type) and re.fullmatch(_ID, id):
        return f"{resource_type}/{id}"
    raise Refused(NOT_A_REFERENCE)


def _reference_sql(arguments: Sequence[str]) -> str:
    return f"CASE WHEN {_is_reference(arguments)} THEN {arguments[0]} || '/' || {arguments[1]} END"


def _reference_code_sql(arguments: Sequence[str]) -> str:
    return f"CASE WHEN NOT ({_is_reference(arguments)}) THEN '{NOT_A_REFERENCE}' END"


def _is_reference(arguments: Sequence[str]) -> str:
    return f"regexp_full_match({arguments[0]}, '{_TYPE}') AND regexp_full_match({arguments[1]}, '{_ID}')"


def sha256_id(*parts: str | None) -> str | None:
    """The same id for the same parts, always: a SHA-256 in 64 hexadecimal digits, which is a FHIR id.

    `a`, `bc` and `ab`, `c` differ, and so do no value and an empty text. None where no part has a value.
    """
    if all(part is None for part in parts):
        return None
    hashed = hashlib.sha256()
    for part in parts:
        data = b"" if part is None else part.encode()
        hashed.update(b"-" if part is None else b"%d:" % len(data))
        hashed.update(data)
    return hashed.hexdigest()


def _sha256_sql(arguments: Sequence[str]) -> str:
    parts = [f"coalesce(strlen({argument}) || ':' || {argument}, '-')" for argument in arguments]
    return f"CASE WHEN coalesce({', '.join(arguments)}) IS NOT NULL THEN sha256({' || '.join(parts)}) END"


def unit_convert(value: Decimal, from_unit: str, to_unit: str) -> Decimal | None:
    """A quantity in another UCUM unit (transform/units.py)."""
    converted, code = convert(value, from_unit, to_unit)
    if code is not None:
        raise Refused(code)
    return converted


_SHIPPED: Final = (
    Function(
        "phone_e164",
        1,
        (_TEXT,),
        _TEXT,
        scalar=phone_e164,
        sql=_phone_sql,
        sql_code=_phone_code_sql,
        codes=(NOT_A_PHONE_NUMBER,),
        seconds=None,
    ),
    Function(
        "digits_only",
        1,
        (_TEXT,),
        _TEXT,
        scalar=digits_only,
        sql="nullif(regexp_replace({0}, '[^0-9]', '', 'g'), '')",
        seconds=None,
    ),
    Function("mrn_strip_zeros", 1, (_TEXT,), _TEXT, scalar=mrn_strip_zeros, sql=_mrn_sql, seconds=None),
    Function("luhn_check", 1, (_TEXT,), ColumnType.BOOLEAN, scalar=luhn_check, codes=(NOT_DIGITS,), seconds=None),
    Function("base64_text", 1, (_TEXT,), _TEXT, scalar=base64_text, sql="to_base64(encode({0}))", seconds=None),
    Function(
        "reference",
        1,
        (_TEXT, _TEXT),
        _TEXT,
        scalar=reference,
        sql=_reference_sql,
        sql_code=_reference_code_sql,
        codes=(NOT_A_REFERENCE,),
        seconds=None,
    ),
    Function(
        "sha256_id",
        1,
        (_TEXT,),
        _TEXT,
        null_policy="sees_null",
        scalar=sha256_id,
        sql=_sha256_sql,
        variadic=True,
        seconds=None,
    ),
    Function("hl7_date", 1, (_TEXT,), _TEXT, scalar=hl7_date, codes=HL7_TIME_CODES, seconds=None),
    Function("hl7_datetime", 1, (_TEXT,), _TEXT, scalar=hl7_datetime, codes=HL7_TIME_CODES, seconds=None),
    Function(
        "unit_convert",
        1,
        (ColumnType.DECIMAL, _TEXT, _TEXT),
        ColumnType.DECIMAL,
        scalar=unit_convert,
        codes=(UNKNOWN_UNIT, INCOMMENSURABLE, OUT_OF_RANGE),
        seconds=None,
    ),
)
