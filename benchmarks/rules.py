"""Ten rules of all nine types and three validations over flat records: in SQL over batches, and record by record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.measure import Stopwatch
from holovitals_pipelines.transform.plan import target_column

if TYPE_CHECKING:
    import pyarrow as pa

    from holovitals_pipelines.engine.analysis import Analysis
    from holovitals_pipelines.transform.columns import Row
    from holovitals_pipelines.transform.reading import RuleSetReady
    from holovitals_pipelines.transform.record_back_end import Result
    from holovitals_pipelines.transform.tables import Tables

RULES: Final = """
ruleSet: benchmark/patient
version: 1.0.0
provider: fhir
resourceType: Patient
sourceFormat: CUSTOM_JSON
options: {strictMode: false, includeMetadata: false}
source:
  number: number
  sex: sex
  born: born
  first: first
  middle: middle
  last: last
  place: place
  kilograms: {path: kilograms, type: decimal}
  centimetres: {path: centimetres, type: decimal}
  systolic: {path: systolic, type: integer}
  diastolic: {path: diastolic, type: integer}
  ward: ward
  phone: phone
  weight: weight
rules:
  - {id: record, type: FIELD_MAPPING, source: number, target: "identifier[0].value", required: true}
  - {id: gender, type: VALUE_MAPPING, source: sex, target: gender, map: {M: male, F: female, U: unknown, O: other}}
  - {id: birth, type: DATA_TYPE_CONVERSION, source: born, target: birthDate, to: date, format: "%m/%d/%Y"}
  - {id: whole, type: CONCATENATION, source: [first, middle, last], target: "name[0].text", separator: " "}
  - {id: home, type: SPLIT, source: place, target: ["address[0].city", "address[0].state"], separator: ", "}
  - id: bmi
    type: CALCULATION
    expr: round(kilograms / ((centimetres / 100) * (centimetres / 100)), 1)
    target: "extension[url='urn:bmi'].valueDecimal"
  - id: pressure
    type: CONDITIONAL
    cases:
      - {when: systolic >= 180 or diastolic >= 120, then: "'crisis'"}
      - {when: systolic >= 140, then: "'high'"}
    else: "'normal'"
    target: "extension[url='urn:pressure'].valueCode"
  - id: location
    type: LOOKUP
    source: ward
    table: wards@1
    value: display
    onMissing: "null"
    target: "extension[url='urn:ward'].valueString"
  - {id: call, type: CUSTOM_FUNCTION, source: phone, function: phone_e164@1, target: "telecom[0].value"}
  - id: weighed
    type: DATA_TYPE_CONVERSION
    source: weight
    to: decimal
    target: "extension[url='urn:weight'].valueDecimal"
validate:
  - {target: birthDate, required: true}
  - {target: "extension[url='urn:bmi'].valueDecimal", range: [5, 150]}
  - {target: gender, in: [male, female, other, unknown]}
"""


def rules_in_sql(records: int = 1_000_000) -> None:
    """The batch back end, of which `records` are made first."""
    import duckdb

    from holovitals_pipelines.engine.analysis import Analysis
    from holovitals_pipelines.engine.rule_batches import RuleBatches

    ready, tables = _ready()
    with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as connection:
        analysis = Analysis(connection)
        rows = source_rows(analysis, records)
        with Stopwatch() as watch:
            made = RuleBatches(analysis, ready.record.plan, tables).run(rows)
        assert made.num_rows == records, "every record comes out"
    watch.report(records)


def rules_by_record(records: int = 50_000) -> None:
    """The record back end; reading the rows out of Arrow is counted, as a stream of them needs it."""
    import duckdb

    from holovitals_pipelines.engine.analysis import Analysis
    from holovitals_pipelines.transform.record_back_end import compile_records

    ready, _ = _ready()
    with duckdb.connect() as connection:
        rows = source_rows(Analysis(connection), records)
    run = compile_records(ready.record.plan)
    with Stopwatch() as watch:
        for row in rows.to_pylist():
            run(row, ())
    watch.report(records)


def rules_differences(records: int = 100_000) -> None:
    """Both back ends over the same records: fails where one value, error or rejection differs."""
    import duckdb

    from holovitals_pipelines.engine.analysis import Analysis
    from holovitals_pipelines.engine.rule_batches import RuleBatches
    from holovitals_pipelines.transform.record_back_end import compile_records

    ready, tables = _ready()
    with duckdb.connect() as connection, Stopwatch() as watch:
        analysis = Analysis(connection)
        rows = source_rows(analysis, records)
        made = RuleBatches(analysis, ready.record.plan, tables).run(rows).to_pylist()
        run = compile_records(ready.record.plan)
        differing = sum(not _same(run(row, ()), found) for row, found in zip(rows.to_pylist(), made, strict=True))
    assert any(found["_errors"] for found in made), "the records hold mistakes"
    assert not differing, f"{differing} of {records} records differ"
    watch.report(records)


def source_rows(analysis: Analysis, records: int) -> pa.Table:
    """Flat records, one in some hundreds with a mistake of each kind, the same for the same number."""
    return analysis.table(_RECORDS, [records])


_RECORDS: Final = """
select range as _row,
       'P' || range as number,
       case when range % 997 = 0 then 'X' else ['M', 'F', 'U', 'O'][range % 4 + 1] end as sex,
       case when range % 1009 = 0 then '13/45/1990'
            else strftime(date '1930-01-01' + cast(range * 7919 % 33000 as integer), '%m/%d/%Y') end as born,
       'First' || range % 5000 as first,
       case when range % 3 > 0 then 'M' || range % 26 end as middle,
       'Last' || range % 9000 as last,
       case when range % 1013 = 0 then 'Nowhere' else 'City' || range % 800 || ', ' || ['CA', 'NY', 'TX'][range % 3 + 1]
            end as place,
       case when range % 50 > 0 then cast(45 + range * 31 % 9000 / 100 as decimal(28, 9)) end as kilograms,
       cast(case when range % 2003 = 0 then 0 else 145 + range * 17 % 500 / 10 end as decimal(28, 9)) as centimetres,
       cast(95 + range * 13 % 110 as bigint) as systolic,
       cast(55 + range * 11 % 80 as bigint) as diastolic,
       'L' || range % 520 as ward,
       case when range % 1511 = 0 then '12345'
            else '(555) 2' || lpad(cast(range % 100 as varchar), 2, '0') || '-'
                 || lpad(cast(range % 10000 as varchar), 4, '0') end as phone,
       case when range % 1999 = 0 then 'heavy' else cast(45 + range % 90 as varchar) || '.' || range % 10 end as weight
from range(?)
"""


def _ready() -> tuple[RuleSetReady, Tables]:
    from holovitals_pipelines.transform.reading import read_rule_set
    from holovitals_pipelines.transform.shipped_functions import shipped_functions
    from holovitals_pipelines.transform.tables import Tables, read_csv_table

    tables = Tables()
    lines = "\n".join(f"L{number},Location {number}" for number in range(500))
    tables.register(read_csv_table(f"code,display\n{lines}\n", "wards", "1"))
    return read_rule_set(RULES, "benchmark.yaml", shipped_functions(), tables), tables


def _same(result: Result, found: Row) -> bool:
    values = tuple(found[target_column(number)] for number in range(len(result.values)))
    return (result.values, list(result.errors), result.rejected) == (values, found["_errors"], found["_rejected"])
