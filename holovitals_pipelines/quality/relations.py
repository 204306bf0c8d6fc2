"""Claims that one batch alone cannot answer, in DuckDB: references that lead nowhere, identifiers of two patients.

Law: ids and values stay in the computation; what comes out is counts, or ids for the caller to count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from holovitals_pipelines.quality.projection import Batches, body_as_text, connect, slices

_REFERENCE = r'"reference"\s*:\s*"([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})"'
"""A relative, literal reference. A quote inside text is escaped, so words that look like one do not match."""


@dataclass(frozen=True, slots=True)
class Dangling:
    """Of `rows` records, `judged` refer to types that are known; `unexpected` of those name one that is not there."""

    rows: int = 0
    judged: int = 0
    unexpected: int = 0


def dangling_references(batches: Batches, known: Mapping[str, Sequence[str]]) -> Dangling:
    """`known` are the ids there are, by type; references to other types are not judged."""
    names = [f"{name}/{one}" for name, ids in known.items() for one in ids]
    total = Dangling()
    with connect() as connection:
        connection.register("named", pa.table({"reference": pa.array(names, pa.string())}))
        connection.execute("CREATE TEMP TABLE there AS SELECT reference FROM named")
        connection.execute(
            "CREATE TEMP TABLE kinds AS SELECT DISTINCT split_part(reference, '/', 1) AS kind FROM there"
        )
        for piece in slices(batches):
            connection.register("piece", piece)
            ((judged, unexpected),) = connection.execute(
                f"""
                WITH rows AS (SELECT row_number() OVER () AS row, {body_as_text(piece)} AS body FROM piece),
                found AS (
                    SELECT DISTINCT row, unnest(regexp_extract_all(body, $pattern, 1)) AS reference FROM rows
                ),
                judged AS (SELECT f.* FROM found f SEMI JOIN kinds k ON split_part(f.reference, '/', 1) = k.kind)
                SELECT count(DISTINCT j.row), count(DISTINCT j.row) FILTER (t.reference IS NULL)
                FROM judged j LEFT JOIN there t ON t.reference = j.reference
                """,  # noqa: S608 - the only part put in is one of two constants
                {"pattern": _REFERENCE},
            ).fetchall()
            connection.unregister("piece")
            total = Dangling(total.rows + piece.num_rows, total.judged + judged, total.unexpected + unexpected)
    return total


def sharing_identifiers(batches: Batches) -> tuple[int, set[str]]:
    """How many Patients the batch holds, and the ids of those that carry an identifier another one carries too."""
    rows = 0
    with connect() as connection:
        connection.execute("CREATE TEMP TABLE carried (remote_id VARCHAR, address UHUGEINT)")
        for piece in slices(batches):
            rows += piece.num_rows
            connection.register("piece", piece)
            text = body_as_text(piece)
            connection.execute(
                f"""
                INSERT INTO carried
                SELECT DISTINCT remote_id, md5_number(system || chr(31) || value) FROM (
                    SELECT remote_id, json_extract_string(one, '$.system') AS system,
                           json_extract_string(one, '$.value') AS value
                    FROM (SELECT remote_id, unnest(try(json_extract({text}, '$.identifier[*]'))) AS one FROM piece)
                ) WHERE system IS NOT NULL AND value IS NOT NULL
                """  # noqa: S608 - the only part put in is one of two constants
            )
            connection.unregister("piece")
        found = connection.execute(
            """
            SELECT DISTINCT remote_id FROM carried
            WHERE address IN (SELECT address FROM carried GROUP BY address HAVING count(DISTINCT remote_id) > 1)
            """
        ).fetchall()
    return rows, {remote_id for (remote_id,) in found}
