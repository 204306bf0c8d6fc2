"""Random rule sets over random rows: SQL over a batch and Python record by record come to the same, always.

One seed makes a rule set and its rows: drawn part by part they would stay as small as hypothesis's entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holovitals_pipelines.engine.analysis import Analysis
from holovitals_pipelines.transform.columns import ColumnType

from .plans import agreed, plan_of

T = ColumnType
SOURCE = {
    "s": T.STRING,
    "t": T.STRING,
    "u": T.STRING,
    "i": T.INTEGER,
    "j": T.INTEGER,
    "d": T.DECIMAL,
    "e": T.DECIMAL,
    "n": T.NUMBER,
    "m": T.NUMBER,
    "b": T.BOOLEAN,
    "born": T.DATE,
    "seen": T.DATE,
    "at": T.DATETIME,
    "doc": T.JSON,
}
TEXTUAL = tuple(kind for kind in T if kind is not T.JSON)
TEXTS = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "AB",
    "Ab ",
    "ß",
    "ẞ",
    "SS",
    "İ",
    "i̇",
    "ı",
    "ſ",
    "\u212a",
    "\u212b",
    "ǆ",
    "Σς",
    "e\u0301",
    "é",
    "🤦🏽‍♂️",
    "\u200b",
    "\u00a0x\u00a0",
    "\u2003",
    "\ufeff",
    "\t\r\n",
    "\v",
    "\x00",
    "a\x00b",
    "a,b",
    "a,b,",
    ",",
    ",,",
    " a , b ",
    "a, b",
    "aaa",
    "aaaa",
    "a;b;c",
    "a\nb",
    "'",
    '"',
    "%",
    "_",
    "\\",
    "{0}",
    "12",
    "B",
    "C",
    "true",
    "TRUE",
    " yes ",
    "N",
    "ＹＥＳ",
    "0",
    "-0",
    "+7",
    "007",
    "-1.50",
    ".5",
    "5.",
    "1e3",
    "1_0",
    "٣",
    "¼",
    "2.5",
    "-2.5",
    "0.4999999999",
    "1.0000000005",
    "-0.0000000005",
    "999999999999999999",
    "999999999999999999.999999999",
    "999999999999999999.9999999995",
    "9223372036854775807",
    "9223372036854775808",
    "2020-02-29",
    "2021-02-29",
    "02/29/2020",
    "2/9/2020",
    "31/12/1999",
    "0001-01-01",
    "9999-12-31",
    "0000-01-01",
    "10000-01-01",
    "2020-1-5",
    " 2020-01-05 ",
    "2020-01-05x",
    "20200105",
    "Jan 5, 2020",
    "jan 5, 2020",
    "5 JANUARY 2020",
    "2020-03-08T02:30:00",
    "2020-11-01T01:30:00",
    "2020-11-01T01:30:00Z",
    "2020-11-01 01:30",
    "2020-01-01T00:00:00.123456789+05:30",
    "1883-11-18T12:00:00",
    "(212) 555-0199",
    "+49 30 901820",
    "212-555-0199 x5",
    "+1",
    "79927398713",
    "kg",
    "[lb_av]",
    "g",
    "Patient",
    "abc-1",
]
FORMATS = ["%Y-%m-%d", "%m/%d/%Y", "%-m/%-d/%Y", "%d/%m/%Y", "%Y%m%d", "%b %d, %Y", "%-d %B %Y", "%Y-%m-%d %H:%M",
           "%Y-%m-%dT%H:%M:%S"]  # fmt: skip
WRITTEN = [*FORMATS, "%Y é %m %d", "%Y%%%m%d", "%%Y %Y-%m-%d", "{%Y} {0} %m{} %d", "%d/%m %I:%M %p %Y", "%-d.%-m.%Y",
           "%Y-%m-%d %H:%M:%S.%f", "%Y %b '%d'"]  # fmt: skip
SEPARATORS = [",", ", ", "a", "aa", ";", " ", "\n", "'", "é", "\\", "%", "🤦", "e\u0301", "."]
CHARACTERS = "aAbB ,;0123.-+/eéßİıſΣ\t\n'\"\\%🤦\u0301"
ZONES = ["America/New_York", "Europe/London", "Pacific Standard Time", "Asia/Kathmandu", "UTC"]
EXPRESSIONS = {
    T.STRING: [
        "lower(S)",
        "upper(S)",
        "trim(S)",
        "concat(S, S)",
        "to_text(I)",
        "to_text(D)",
        "to_text(F)",
        "S if B else S",
        "coalesce(S, S, 'none')",
        "substring(S, 1, 2)",
        "replace(S, 'a', 'bb')",
        "'ß'",
    ],
    T.INTEGER: ["I + I", "I * I", "-I", "floor(N)", "length(S)", "years_between(D, D)", "I if B else 7", "year(D)"],
    T.DECIMAL: [
        "N / N",
        "F + N",
        "F * N",
        "round(N / I, 1)",
        "round(F, 0)",
        "to_number(S)",
        "N / 0",
        "coalesce(F, 1.5)",
        "-F",
        "round(F * F, 2)",
    ],
    T.BOOLEAN: [
        "S == S",
        "S < S",
        "D < D",
        "N >= N",
        "I == 0",
        "B and B",
        "B or not B",
        "S in ['a', 'AB', 'ß']",
        "S is None",
        "I is not None",
        "1 / I > 0",
        "F / N > 1",
        "contains(S, 'a')",
        "matches(S, '[0-9a-z]{1,9}')",
    ],
    T.DATE: ["max(D, D)", "D if B else D"],
}
HOLES = {
    "S": (T.STRING,),
    "I": (T.INTEGER,),
    "F": (T.DECIMAL,),
    "N": (T.INTEGER, T.DECIMAL, T.NUMBER),
    "D": (T.DATE,),
    "B": (T.BOOLEAN,),
}
FUNCTIONS = {
    "phone_e164@1": ((T.STRING,), T.STRING),
    "digits_only@1": ((T.STRING,), T.STRING),
    "mrn_strip_zeros@1": ((T.STRING,), T.STRING),
    "luhn_check@1": ((T.STRING,), T.BOOLEAN),
    "base64_text@1": ((T.STRING,), T.STRING),
    "reference@1": ((T.STRING, T.STRING), T.STRING),
    "sha256_id@1": ((T.STRING, T.STRING, T.STRING), T.STRING),
    "unit_convert@1": ((T.DECIMAL, T.STRING, T.STRING), T.DECIMAL),
}
DEFAULTS: dict[T, list[Any]] = {
    T.STRING: ["none", "a,b", "'ß\\"],
    T.INTEGER: [0, -5, 2**63 - 1],
    T.DECIMAL: [0, 1.5, -2],
    T.NUMBER: [7, 7.5],
    T.BOOLEAN: [True, False],
    T.DATE: ["1900-01-01", "0033-01-01"],
    T.DATETIME: ["2020", "2020-01-01T00:00:00Z"],
}


class RuleWriter:
    """Writes rules that read source fields and one another."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.names: dict[str, T] = dict(SOURCE)
        self.paths: dict[str, T] = {}
        self.rivalled = True

    def group(self, count: int) -> dict[str, Any]:
        rules = [self.rule(number) for number in range(count)]
        if self.random.random() < 0.4:
            for priority, rule in enumerate(rules):
                rule["priority"] = priority
            self.random.shuffle(rules)
        return {
            "source": {name: {"path": name, "type": str(kind)} for name, kind in SOURCE.items()},
            "rules": rules,
            "validate": [self.validation(path, kind) for path, kind in self.paths.items() if self.chance(0.4)],
        }

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def name_of(self, *kinds: T) -> str:
        return self.random.choice([name for name, kind in self.names.items() if kind in kinds])

    def expression(self, kind: T) -> str:
        form = self.random.choice(EXPRESSIONS[kind])
        parts = [self.name_of(*HOLES[part]) if part in HOLES else part for part in _parts(form)]
        return "".join(parts)

    def rule(self, number: int) -> dict[str, Any]:
        write: Callable[[], tuple[dict[str, Any], T]] = self.random.choice(
            [self.mapped, self.coded, self.converted, self.converted, self.joined, self.split, self.calculated,
             self.decided, self.looked_up, self.called]
        )  # fmt: skip
        made, kind = write()
        rule = {"id": f"r{number}", **made}
        if self.chance(0.3):
            rule["condition"] = self.expression(T.BOOLEAN)
        if self.chance(0.25):
            rule["required"] = True
        if rule["type"] != "SPLIT":
            rivals = [path for path, one in self.paths.items() if one is kind]
            rule["target"] = self.random.choice(rivals) if rivals and self.chance(0.3) else f"t{number}"
            if kind in DEFAULTS and self.chance(0.3):
                rule["defaultValue"] = self.random.choice(DEFAULTS[kind])
        if self.chance(0.05):
            return {**rule, "enabled": False}
        if rule["type"] == "SPLIT":
            rule["target"] = [path and f"t{number}.{path}" for path in rule["target"]]
            self.paths |= {path: T.STRING for path in rule["target"] if path}
        else:
            self.paths[rule["target"]] = kind
            self.names[rule["id"]] = kind
        return rule

    def mapped(self) -> tuple[dict[str, Any], T]:
        name = self.random.choice(list(self.names))
        return {"type": "FIELD_MAPPING", "source": name}, self.names[name]

    def coded(self) -> tuple[dict[str, Any], T]:
        ignore_case = self.chance(0.5)
        keys = (
            ["a", "ß", "ab", "'", "12", "", "İ", "N"] if ignore_case else ["A", "a", "ẞ", "AB", "ab", "'", "\\", "Σς"]
        )
        rule = {
            "type": "VALUE_MAPPING", "source": self.name_of(T.STRING), "ignoreCase": ignore_case,
            "onMissing": self.random.choice(["error", "null", "pass"]),
            "map": {key: self.random.choice(["x", "y'", "", "ß"]) for key in self.random.sample(keys, 4)},
        }  # fmt: skip
        return rule, T.STRING

    def converted(self) -> tuple[dict[str, Any], T]:
        kind = self.random.choice([one for one in T if one is not T.JSON])
        rule: dict[str, Any] = {"type": "DATA_TYPE_CONVERSION", "to": str(kind), "source": self.name_of(T.STRING)}
        if kind is T.STRING:
            rule["source"] = self.name_of(*TEXTUAL)
            if self.names[rule["source"]] is T.DATE and self.chance(0.7):
                rule["format"] = self.random.choice(WRITTEN)
        elif self.chance(0.2):
            rule["source"] = self.name_of(T.NUMBER)
        if kind in (T.DATE, T.DATETIME) and self.chance(0.8):
            rule["format"] = self.random.sample(FORMATS, self.random.randint(1, 3))
        if kind is T.DATETIME and self.chance(0.7):
            rule |= {"timezone": self.random.choice(ZONES)}
            rule |= {"onAmbiguous": self.random.choice(["error", "earlier", "later"])}
        if kind in (T.DECIMAL, T.NUMBER) and self.chance(0.6):
            rule["scale"] = self.random.randint(0, 9)
        return rule, kind

    def joined(self) -> tuple[dict[str, Any], T]:
        source = [self.name_of(*TEXTUAL) for _ in range(self.random.randint(2, 4))]
        rule = {"type": "CONCATENATION", "source": source, "skipNull": self.chance(0.5)}
        return {**rule, "separator": self.random.choice(["", *SEPARATORS])}, T.STRING

    def split(self) -> tuple[dict[str, Any], T]:
        count = self.random.randint(1, 3)
        parts = [f"p{part}" if part == 0 or self.chance(0.8) else None for part in range(count)]
        self.random.shuffle(parts)
        rule = {
            "type": "SPLIT", "source": self.name_of(T.STRING), "target": parts, "exactly": self.chance(0.5),
            "trim": self.chance(0.5), "separator": self.random.choice(SEPARATORS),
        }  # fmt: skip
        return rule, T.STRING

    def calculated(self) -> tuple[dict[str, Any], T]:
        kind = self.random.choice(list(EXPRESSIONS))
        return {"type": "CALCULATION", "expr": self.expression(kind)}, kind

    def decided(self) -> tuple[dict[str, Any], T]:
        kind = self.random.choice(list(EXPRESSIONS))
        cases = [{"when": self.expression(T.BOOLEAN), "then": self.expression(kind)} for _ in range(2)]
        rule: dict[str, Any] = {"type": "CONDITIONAL", "cases": cases}
        return ({**rule, "else": self.expression(kind)} if self.chance(0.5) else rule), kind

    def looked_up(self) -> tuple[dict[str, Any], T]:
        rule = {"type": "LOOKUP", "source": self.name_of(T.STRING), "table": "codes@1"}
        rule["value"] = self.random.choice(["code", "display", "region"])
        return {**rule, "onMissing": self.random.choice(["error", "null", "pass"])}, T.STRING

    def called(self) -> tuple[dict[str, Any], T]:
        name = self.random.choice(list(FUNCTIONS))
        takes, makes = FUNCTIONS[name]
        return {"type": "CUSTOM_FUNCTION", "function": name, "source": [self.name_of(one) for one in takes]}, makes

    def validation(self, path: str, kind: T) -> dict[str, Any]:
        checks: dict[T, list[dict[str, Any]]] = {
            T.STRING: [{"in": ["a", "ß", "none", "'"]}, {"pattern": r"[^,]{1,9}"}, {"exists": "codes@1"}],
            T.INTEGER: [{"range": [0, 100]}, {"range": [None, 7]}, {"in": [0, 1, -5]}],
            T.DECIMAL: [{"range": [0, 100]}, {"range": [-2.5, None]}, {"range": [0.1, 0.3]}],
            T.NUMBER: [{"range": [0, 7.4]}, {"range": [None, 1000]}, {"pattern": r"\d{1,3}(\.\d{1,2})?"}],
            T.BOOLEAN: [{"in": [True]}],
            T.DATE: [{"range": ["1900-01-01", None]}, {"range": ["0033-01-01", "2020-02-29"]}],
            T.DATETIME: [{"pattern": r"\d{4}[^.]{0,30}"}],
        }
        check = self.random.choice([{"required": True}, *checks.get(kind, [])])
        return {"target": path, **check, **({"severity": "warning"} if self.chance(0.3) else {})}


def _parts(form: str) -> list[str]:
    """The form in words and what is between them."""
    parts, quoted = [""], False
    for character in form:
        if character == "'":
            quoted = not quoted
        if (character.isalnum() or character == "_") and not quoted and (parts[-1].isalnum() or "_" in parts[-1]):
            parts[-1] += character
        else:
            parts.append(character if not quoted else parts.pop() + character)
    return parts


def value_of(random: Random, kind: T) -> Any:
    if random.random() < 0.15:
        return None
    match kind:
        case T.STRING:
            if random.random() < 0.75:
                return random.choice(TEXTS)
            return "".join(random.choice(CHARACTERS) for _ in range(random.randint(0, 12)))
        case T.INTEGER:
            return random.choice([0, 1, -1, 7, random.randint(-200, 200), 2**63 - 1, -(2**63)])
        case T.DECIMAL:
            small, digits = random.randint(-(10**6), 10**6), random.randint(0, 9)
            great = random.choice([10**28 - 1, 1 - 10**28, 10**19, 1, -5 * 10**8, 0])
            return random.choice([Decimal(small).scaleb(-digits), Decimal(great).scaleb(-9)]).quantize(Decimal("1e-9"))
        case T.NUMBER:
            return random.choice(
                ["0", "-0", "0.0", "7.40", "-2.5", "1e3", "1.5E-3", "100", "1e400", "1e-400", "72.0", "-0e0", "1E+18",
                 "99999999999999999999", "100000000000000000000", "0.0000000000000000005", "7.4000000000000000004",
                 "99999999999999999999.9999999999999999995", "123456789012345678901234567890e-20", "1e19", "-1e-18"]
            )  # fmt: skip
        case T.BOOLEAN:
            return random.random() < 0.5
        case T.DATE:
            return random.choice([date.min, date.max, date(33, 1, 1), date(2020, 2, 29),
                                  date.fromordinal(random.randint(690000, 740000))])  # fmt: skip
        case T.DATETIME:
            return random.choice(["2020", "2020-01", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5+05:30"])
    return random.choice(['{"a":"ß"}', "[]", "7.40", '"x"'])


def compared(analysis: Analysis, seed: int, rules: int, rows: int) -> None:
    random = Random(seed)
    plan = plan_of(RuleWriter(random).group(rules), strict=random.random() < 0.5)
    known = list(plan.source_problems.values())
    given_rows = [{name: value_of(random, kind) for name, kind in SOURCE.items()} for _ in range(rows)]
    problems = [sorted(random.sample(known, random.choice([0, 0, 0, 1, 2]))) for _ in range(rows)]
    agreed(analysis, plan, given_rows, problems)


@pytest.fixture(scope="module")
def analysis() -> Iterator[Analysis]:
    with duckdb.connect(config={"threads": 1}) as connection:
        yield Analysis(connection)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(seed=st.integers(0, 2**64))
def test_sql_over_a_batch_and_python_by_record_come_to_the_same(analysis: Analysis, seed: int) -> None:
    compared(analysis, seed, rules=12, rows=60)
