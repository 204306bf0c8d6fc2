"""Rule sets in a notebook: opened, edited a rule at a time, given records to try, and saved as a new version.

Law: nothing is written but by `save`. A home that is not there is not created by looking; one that is there is opened
as every command opens it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

import pandas as pd

from holovitals_pipelines.engine.home import Home, open_home
from holovitals_pipelines.engine.record_format import format_of
from holovitals_pipelines.engine.rule_library import activate, raised, save_rule_set, versions
from holovitals_pipelines.engine.rule_samples import Sample, read_text, samples_of_connection
from holovitals_pipelines.engine.rule_workbench import Example, examples_file, read_examples
from holovitals_pipelines.model.errors import ConfigurationError
from holovitals_pipelines.model.vocabulary import Direction
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store.rule_sets import StoredRuleSet
from holovitals_pipelines.transform.reading import RuleSetReady, read_rule_set
from holovitals_pipelines.transform.shipped_functions import shipped_functions
from holovitals_pipelines.transform.shipped_rule_sets import shipped_as_written, shipped_rule_sets
from holovitals_pipelines.transform.tables import shipped_tables
from holovitals_pipelines.workbench.rule_text import rule_text, with_rule, with_version
from holovitals_pipelines.workbench.session import found_nearby
from holovitals_pipelines.workbench.shown import Said, Written

NO_STORE = "There is no store yet: run «holovitals demo», or «holovitals sync», then the cells above again."
_EDITED = "the edited rule set"
_COLUMNS = (
    "rule_set", "version", "state", "provider", "resource_type", "direction", "source_format", "saved_by", "saved_at",
)  # fmt: skip


@dataclass(frozen=True)
class OpenedRules:
    """A rule set as text and ready to be tried."""

    ready: RuleSetReady
    text: str
    state: str
    """`active`, `saved`, `shipped`, `file` or `edited`."""
    examples: tuple[Example, ...]

    def rule(self, name: str) -> Written:
        """One rule as it is written, by the name errors give it (`birth`, in a group `phones.value`)."""
        return Written(rule_text(self.text, name))

    def __repr__(self) -> str:
        rules = self.ready.rules
        count = len(rules.rules) + sum(len(group.rules) for group in rules.groups)
        return (
            f"{self.ready.name} ({self.state}): {count} rules make {rules.resource_type} of {rules.provider}'s records"
        )


@dataclass(frozen=True)
class Records:
    """Records to try rules on. Shown is where they come from, never what is in them."""

    samples: tuple[Sample, ...]
    origin: str

    def __repr__(self) -> str:
        return f"{len(self.samples):,} {self.origin}"


def open_rule_desk(home: Path | str | None = None) -> RuleDesk:
    """The desk of the installation at `home`; by default of HOLOVITALS_HOME, found as `open_workbench` finds it."""
    return RuleDesk(found_nearby(Settings() if home is None else Settings(home=Path(home))))


class RuleDesk:
    """Where rule sets are worked on. Every method opens the home for itself, so a notebook holds nothing up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __repr__(self) -> str:
        if not self._is_there():
            return f"{self._settings.root}: {NO_STORE} Shipped rule sets can be tried on their own examples."
        stored = self._stored()
        active = sum(one.active for one in stored)
        return f"{self._settings.root}: {len(stored)} versions of rule sets in the store, {active} active."

    # --- opened -------------------------------------------------------------------------------------------------

    def rule_sets(self) -> pd.DataFrame:
        """One row a version in the store (`active` or `saved`), then one a shipped rule set."""
        rows: list[tuple[object, ...]] = [
            (one.name, one.version, _state(one), *one.records, one.saved_by, one.saved_at) for one in self._stored()
        ]
        for ready in shipped_rule_sets():
            rules = ready.rules
            records = (rules.provider, rules.resource_type, rules.direction, rules.source_format)
            rows.append((rules.rule_set, rules.version, "shipped", *map(str, records), None, None))
        frame = pd.DataFrame(rows, columns=list(_COLUMNS))
        return frame.assign(saved_at=pd.to_datetime(frame["saved_at"], utc=True))

    def open(self, name: str) -> OpenedRules:
        """`clinic/patient@1.2.0`, or by name: its active version, else the shipped one, else the newest in the store.

        Raises ConfigurationError listing what there is.
        """
        stored = self._stored()
        named = [one for one in stored if name in (one.name, one.full_name)]
        chosen = [one for one in named if one.active] or [one for one in named if one.full_name == name]
        if chosen:
            return _opened(chosen[0].text, chosen[0].full_name, _state(chosen[0]))
        for full_name, written in shipped_as_written().items():
            if name in (full_name, full_name.partition("@")[0]):
                return _opened(written.text, full_name, "shipped")
        if named:
            return _opened(named[0].text, named[0].full_name, _state(named[0]))
        known = sorted({*(one.name for one in stored), *(one.rules.rule_set for one in shipped_rule_sets())})
        raise ConfigurationError(
            f"there is no such rule set (there are: {', '.join(known)})",
            code="rules.unknown",
            place=f"rule set {name}",
            remedy="name one of those; open_file opens a file",
        )

    def open_file(self, file: Path | str) -> OpenedRules:
        """A rule set that is not in the store, with the examples beside it."""
        path = Path(file)
        beside = examples_file(path)
        examples = read_examples(read_text(beside), str(beside)) if beside.exists() else ()
        text = read_text(path)
        return OpenedRules(_read(text, str(path)), text, "file", examples)

    # --- edited -------------------------------------------------------------------------------------------------

    def with_rule(self, opened: OpenedRules, name: str, rule: str) -> OpenedRules:
        """The rule set with this rule in place of the one of that name. Raises ConfigurationError with its line."""
        return self.edited(opened, with_rule(opened.text, name, rule))

    def edited(self, opened: OpenedRules, text: str) -> OpenedRules:
        """Any other text for the rule set, with the next version that is free. The same text stays as it is."""
        if text == opened.text:
            return opened
        text = self._numbered(_read(text, _EDITED), text)
        return OpenedRules(_read(text, _EDITED), text, "edited", opened.examples)

    def _numbered(self, ready: RuleSetReady, text: str) -> str:
        """With a version that is free, or the one under which this very text is saved already."""
        name = ready.rules.rule_set
        known = [(one.version, one.text) for one in self._stored() if one.name == name]
        for full_name, written in shipped_as_written().items():
            shipped, _, version = full_name.partition("@")
            known += [(version, written.text)] if shipped == name else []
        newest = max((version for version, _ in known), key=_number, default="0.0.0")
        if _number(ready.rules.version) > _number(newest):
            return text
        same = (saved for version, saved in known if with_version(text, version) == saved)
        return next(same, with_version(text, raised(newest)))

    # --- tried --------------------------------------------------------------------------------------------------

    def records(self, opened: OpenedRules, connection: str | None = None, limit: int = 200) -> Records:
        """Records as the newest sync landed them, of `connection` or of any of the provider; else the examples'."""
        rules = opened.ready.rules
        if rules.direction is Direction.OUTBOUND:
            return _made_up(opened, "outbound rules are tried on those")
        if not self._is_there():
            return _made_up(opened, NO_STORE)
        with self._home() as home:
            for name in [connection] if connection is not None else _connections(home, opened):
                try:
                    found = samples_of_connection(home, name, rules.resource_type, limit)
                except ConfigurationError as error:
                    if error.code != "rules.no_extract":
                        raise
                    continue
                passed = f" {found.unreadable} readings are no JSON objects." if found.unreadable else ""
                return Records(found.records, f"records of connection {name}, as its newest sync landed them.{passed}")
        of = f"connection {connection}" if connection is not None else f"{rules.provider}, as {rules.source_format},"
        return _made_up(
            opened, f"no {rules.resource_type} of {of} has landed yet; «holovitals sync CONNECTION --full» reads them"
        )

    # --- saved --------------------------------------------------------------------------------------------------

    def save(self, opened: OpenedRules, comment: str = "", *, activated: bool = False, person: str = "") -> Said:
        """Keep it in the store as a version; jobs use it only where it is `activated`.

        Raises ConfigurationError or StoreError, as `holovitals rules save` does.
        """
        who = person or _user()
        with self._home() as home:
            stored = save_rule_set(home.database, opened.text, _EDITED, who, comment)
            if activated:
                activate(home.database, stored.name, stored.version, who)
        if activated:
            return Said(f"{stored.full_name} is saved and active: the next jobs use it.")
        return Said(
            f"{stored.full_name} is saved. Jobs do not use it before it is activated: "
            f"holovitals rules activate {stored.full_name}"
        )

    # ------------------------------------------------------------------------------------------------------------

    def _is_there(self) -> bool:
        return self._settings.database_url is not None or (self._settings.root / "operational.sqlite").exists()

    @contextmanager
    def _home(self) -> Iterator[Home]:
        with open_home(self._settings) as home:
            yield home

    def _stored(self) -> list[StoredRuleSet]:
        if not self._is_there():
            return []
        with self._home() as home:
            return versions(home.database)


def _opened(text: str, full_name: str, state: str) -> OpenedRules:
    """With the examples of the shipped rule set of that name, where there are any."""
    name = full_name.partition("@")[0]
    written = [one.examples for key, one in shipped_as_written().items() if key.partition("@")[0] == name]
    examples = next((read_examples(one, f"{name}'s examples") for one in written if one is not None), ())
    return OpenedRules(_read(text, f"rule set {full_name}"), text, state, examples)


def _made_up(opened: OpenedRules, why: str) -> Records:
    samples = tuple(Sample(number, one.source) for number, one in enumerate(opened.examples, start=1))
    return Records(samples, f"made-up records, of the rule set's own examples: {why}")


def _connections(home: Home, opened: OpenedRules) -> list[str]:
    """Those whose records the rule set is for."""
    rules = opened.ready.rules
    return [
        name
        for name, connection in sorted(home.connections.items())
        if connection.provider is rules.provider and format_of(connection) is rules.source_format
    ]


def _read(text: str, place: str) -> RuleSetReady:
    return read_rule_set(text, place, shipped_functions(), shipped_tables())


def _state(stored: StoredRuleSet) -> str:
    return "active" if stored.active else "saved"


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _user() -> str:
    try:
        return getuser()
    except (KeyError, ImportError, OSError):  # as in some containers
        raise ConfigurationError(
            "the system has no name for you", code="actor.unknown", place="actor", remedy='say who acts: person="…"'
        ) from None
