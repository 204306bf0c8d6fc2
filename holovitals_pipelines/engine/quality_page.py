"""The quality page: every claim with its newest outcome, as one HTML file that loads nothing from anywhere.

Law: counts, names and thresholds only; no value, no id, nothing of a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from holovitals_pipelines.engine.home import Home
from holovitals_pipelines.engine.quality_gate import holds
from holovitals_pipelines.quality.expectations import Expectation
from holovitals_pipelines.quality.suites import RESOURCE_TYPES_WITH_SUITES, structural_for
from holovitals_pipelines.store.quality import StoredOutcome, newest_outcomes

_STYLE = """
:root{color-scheme:light dark;--line:#d5dbe1;--soft:#5b6770;--good:#16653a;--bad:#a31515;--warn:#8a5200}
@media(prefers-color-scheme:dark){:root{--line:#3a444d;--soft:#a9b4bd;--good:#6fd39b;--bad:#ff9d94;--warn:#f0b964}}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1.5rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
small,caption{color:var(--soft)}caption{text-align:left}
.passed{color:var(--good)}.failed,.held{color:var(--bad);font-weight:600}.warning,.accepted{color:var(--warn)}
a{color:inherit}div.wide{overflow-x:auto}
"""


def newest_of(home: Home, connection: str | None = None) -> list[StoredOutcome]:
    """The newest outcome of every claim of the connections there are."""
    with home.database.read() as transaction:
        found = newest_outcomes(transaction, connection)
    return [one for one in found if one.connection in home.connections]


def write_page(home: Home) -> Path:
    """Write `quality/index.html` into the home folder; returns where it is."""
    path = home.settings.root / "quality" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(quality_page(home), encoding="utf-8")
    return path


def quality_page(home: Home) -> str:
    """The page as it is now."""
    outcomes = newest_of(home)
    with home.database.read() as transaction:
        held = {hold.outcome for hold in holds(home, transaction)}
    parts = [_summary(outcomes, len(held)), _failures(outcomes, held)]
    for (connection, resource_type), group in groupby(outcomes, lambda one: (one.connection, one.resource_type)):
        parts.append(_section(home, connection, resource_type, list(group), held))
    parts += [_ranges(home), _systems(home)]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>HoloVitals: data quality</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>Data quality</h1>{''.join(parts)}</main></body></html>\n"
    )


def _summary(outcomes: Sequence[StoredOutcome], held: int) -> str:
    if not outcomes:
        return "<p>Nothing was judged yet: sync a connection, then <code>holovitals quality run</code>.</p>"
    failed = sum(not one.passed for one in outcomes)
    newest = max(one.at for one in outcomes)
    kept = f'<span class="held">{held} hold a type back</span>' if held else "none holds a type back"
    return (
        f"<p>{len(outcomes):,} claims, {failed:,} failed, {kept} from being written to its vendor. Judged last"
        f" {newest:%Y-%m-%d %H:%M} UTC. Counts only: no value of a record is on this page.</p>"
    )


def _failures(outcomes: Sequence[StoredOutcome], held: set[StoredOutcome]) -> str:
    failed = sorted((one for one in outcomes if not one.passed), key=lambda one: one not in held)
    if not failed:
        return ""
    lines = "".join(
        f'<li><a href="#{_anchor(one.connection, one.resource_type)}">{escape(one.connection)} ·'
        f" {escape(one.resource_type)}</a>: {escape(one.check_name)}, {one.unexpected:,} of {one.rows:,}"
        f"{_mark(one, held)}</li>"
        for one in failed
    )
    return f"<h2>What failed</h2><ul>{lines}</ul>"


def _mark(one: StoredOutcome, held: set[StoredOutcome]) -> str:
    if one in held:
        return ' <span class="held">write-back held</span>'
    return f' <span class="accepted">accepted by {escape(one.accepted_by)}</span>' if one.accepted_by else ""


def _anchor(connection: str, resource_type: str) -> str:
    return escape(f"{connection}-{resource_type}", quote=True)


def _section(
    home: Home, connection: str, resource_type: str, outcomes: Sequence[StoredOutcome], held: set[StoredOutcome]
) -> str:
    thresholds = home.thresholds
    claims = {
        claim.name: claim
        for claim in (
            *structural_for(resource_type),
            *thresholds.reported(connection, resource_type),
            *thresholds.gate(connection, resource_type),
        )
    }
    rows = "".join(_row(one, claims.get(one.check_name), one in held) for one in outcomes)
    anchor = _anchor(connection, resource_type)
    return (
        f'<h2 id="{anchor}">{escape(connection)} · {escape(resource_type)}</h2><div class="wide"><table><thead><tr>'
        '<th scope="col">outcome</th><th scope="col">claim</th><th scope="col" class="n">records</th>'
        '<th scope="col" class="n">broke it</th><th scope="col" class="n">tolerated</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(one: StoredOutcome, claim: Expectation | None, held: bool) -> str:
    word, kind = ("passed", "passed") if one.passed else ("failed", one.severity.lower())
    if held:
        word = kind = "held"
    elif one.accepted_by:
        word, kind = f"accepted by {one.accepted_by}", "accepted"
    kind = "failed" if kind in ("error", "critical") else kind
    said = escape(claim.description) if claim else "no longer judged"
    tolerated = f"{claim.tolerance:.1%}" if claim else "-"
    return (
        f'<tr><td class="{kind}">{escape("write-back held" if held else word)}</td>'
        f"<td>{escape(one.check_name)}<br><small>{said} <code>{escape(one.expectation)}</code></small></td>"
        f'<td class="n">{one.rows:,}</td>'
        f'<td class="n">{one.unexpected:,}</td><td class="n">{tolerated}</td></tr>'
    )


def _ranges(home: Home) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.loinc)}</td><td>{escape(one.unit)}</td>"
        f'<td class="n">{one.low:g}</td><td class="n">{one.high:g}</td></tr>'
        for one in home.thresholds.ranges
    )
    return (
        f'<h2 id="ranges">Ranges of values</h2><div class="wide"><table>'
        f"<caption>Plausible, not normal; thresholds {escape(home.thresholds.version)}</caption><thead><tr>"
        '<th scope="col">LOINC</th><th scope="col">UCUM unit</th><th scope="col" class="n">from</th>'
        f'<th scope="col" class="n">to</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _systems(home: Home) -> str:
    known = {name: home.thresholds.known_systems(name) for name in RESOURCE_TYPES_WITH_SUITES}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{'<br>'.join(map(escape, systems))}</td></tr>"
        for name, systems in known.items()
        if systems
    )
    return (
        '<h2 id="systems">Known code systems</h2><div class="wide"><table><thead><tr><th scope="col">type</th>'
        f'<th scope="col">URI of the system</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
