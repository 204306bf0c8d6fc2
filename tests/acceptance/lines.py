"""The acceptance lines of the sync kernel, by number (sync-protocol.md §10), and the tests that name them.

Law: a line counts as shown only by a test whose name begins with its number: `test_a16_…`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LINES = {
    "A1": "planted truth: no resource is classified wrong",
    "A2": "edits on one side only raise no conflict",
    "A3": "another meta or order of keys raises none",
    "A4": "1.0 and 1.00 differ",
    "A5": "absence from a page deletes nothing",
    "A6": "410 on read makes a tombstone",
    "A7": "each type, strategy and severity: 112 cells, forbidden ones refused",
    "A8": "nothing critical is decided by itself, by no custom resolver either",
    "A9": "a decision on values that have changed opens the conflict again",
    "A10": "a reversal restores what was there before",
    "A11": "joining, removing and reordering of lists raises no conflict",
    "A12": "a dose's value and unit are never split",
    "A13": "a merge that would not be valid FHIR is a conflict",
    "A14": "times closer than the clocks are sure of are a tie",
    "A15": "our own write read back: nothing is written, nothing is logged",
    "A16": "a lost answer and a vendor's edit: one conflict at most, never with ourselves",
    "A17": "412 to a write without If-Match is a configuration error",
    "A18": "a vendor that stores something else: no echo in ten passes",
    "A19": "seven vendors of one record come to rest in five rounds",
    "A20": "a vendor's delete does not cascade",
    "A21": "a mass delete is stopped",
    "A22": "each of the 15 webhook events, custom and unknown ones: routed and logged",
    "A23": "signatures: each scheme and hash, good, bad, rotated, expired, re-serialised, short",
    "A24": "an event that comes again: 2xx, one effect",
    "A25": "200 deliveries at once: each durable and answered within two seconds",
    "A26": "the retry schedule of events is exact",
    "A27": "a poison event isolates to its link",
    "A28": "replay of one event, and of a range",
    "A29": "every move a job's status may not make raises",
    "A30": "a worker that lost its job to another writes nothing more",
    "A31": "no waiting job starves, whatever keeps coming",
    "A32": "a cancelled job leaves no half page",
    "A33": "a job's history has every attempt",
    "A39": "the severity matrix names every element of the core types",
    "A41": "five of five attacks on the audit log are found",
    "A43": "each rule of the protocol broken on purpose is noticed",
    "A44": "the default overlap of incremental reads misses nothing",
    "A45": "a read-only vendor: no writes, differences listed, its later change is a conflict",
    "A46": "what the vendor holds and we do not know survives our update",
}

_TESTS = Path(__file__).resolve().parents[1]
_number = re.compile(r"[af]\d+").fullmatch
_acceptance_number = re.compile(r"a\d+").fullmatch


def shown() -> dict[str, list[str]]:
    """Names of the tests that show each line."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in _names_of_tests():
        for number in _numbers(name):
            found[number.upper()].append(name)
    return found


def _names_of_tests() -> Iterator[str]:
    for path in sorted(_TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield node.name


def _numbers(name: str) -> Iterator[str]:
    """The numbers a test's name begins with; faults (`f10`) may stand among them."""
    for part in name.split("_")[1:]:
        if not _number(part):
            return
        if _acceptance_number(part):
            yield part
