"""The review widget: the queue of conflicts in a notebook, with the keyboard, each conflict decided where it is read.

Law: it is a face. Questions and answers pass over the widget's comm one by one and nothing of them is kept in the
widget's state, so a saved notebook holds no health data; what is decided goes through the desk and the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget

from holovitals_pipelines.engine.choices import Choice
from holovitals_pipelines.model.errors import HoloVitalsError
from holovitals_pipelines.workbench.review_desk import ReviewDesk, told
from holovitals_pipelines.workbench.review_state import State

_BESIDE = Path(__file__)


class ReviewWidget(anywidget.AnyWidget):
    """Conflicts of the desk's installation, to be looked at and decided. Press ? in it for the keys."""

    _esm = _BESIDE.with_suffix(".js")
    _css = _BESIDE.with_suffix(".css")

    def __init__(self, desk: ReviewDesk) -> None:
        super().__init__()
        self._desk = desk
        self._asked: Mapping[str, Callable[[Any], Any]] = {
            "actor": lambda said: desk.named(said["actor"]),
            "queue": lambda said: desk.queue(said["view"], said["after"]),
            "open": lambda said: desk.opened(said["id"]),
            "json": lambda said: desk.bodies(said["id"]),
            "decide": self._decide,
            "approve": lambda said: desk.approve(
                said["id"], revision=said["revision"], decision=said["decision"], actor=said["actor"]
            ),
            "let stand": lambda said: desk.let_stand(said["id"], actor=said["actor"]),
            "take back": lambda said: desk.take_back(said["id"], decision=said["decision"], actor=said["actor"]),
            "undo": lambda said: desk.undo(said["id"], actor=said["actor"], reason=said["reason"]),
            "alike": lambda said: desk.alike(said["id"]),
            "decide alike": self._decide_alike,
            "rows": self._rows,
            "add rows": self._add_rows,
            "write back": self._write_back,
        }
        self.on_msg(self._heard)

    def __repr__(self) -> str:
        return f"Review of {self._desk!r}"

    def _heard(self, _: object, said: Any, __: object) -> None:
        self.send(self.answer(said))

    def answer(self, said: Mapping[str, Any]) -> State:
        """What is answered to one question of the browser's: {id, ask, with} → {id, answer} or {id, error}."""
        try:
            return {"id": said["id"], "answer": self._asked[said["ask"]](said["with"])}
        except HoloVitalsError as error:
            return {"id": said["id"], "error": told(error)}
        except Exception as error:
            # Answered all the same: the browser waits. The message of a foreign exception may hold a value.
            self.send({"id": said.get("id"), "error": _failed(error)})
            raise

    def _decide(self, said: Any) -> State:
        return self._desk.decide(
            said["id"],
            said["strategy"],
            revision=said["revision"],
            actor=said["actor"],
            reason=said["reason"],
            choices={unit: Choice(one["side"], one.get("value")) for unit, one in said["choices"].items()},
        )

    def _decide_alike(self, said: Any) -> State:
        return self._desk.decide_alike(
            said["id"],
            [(one["id"], one["revision"]) for one in said["others"]],
            said["strategy"],
            said["sides"],
            actor=said["actor"],
            reason=said["reason"],
        )

    def _rows(self, said: Any) -> State:
        proposed = self._desk.proposed_rows(said["id"], said["strategy"], said["sides"], actor=said["actor"])
        return {"file": str(proposed.file), "text": proposed.text, "code": proposed.code}

    def _add_rows(self, said: Any) -> State:
        added = self._desk.add_rows(said["id"], said["strategy"], said["sides"], actor=said["actor"], code=said["code"])
        return {"file": str(added.file), "rows": [row["name"] for row in added.rows]}

    def _write_back(self, said: Any) -> State:
        report = self._desk.write_back(said["connection"])
        return {
            "succeeded": report.succeeded,
            "pushed": report.total.pushed,
            "resolved": report.total.resolved,
            "errors": [{"code": one.code, "message": one.message, "remedy": one.remedy} for one in report.errors],
        }


def _failed(error: Exception) -> State:
    message = f"it failed: {type(error).__name__}"
    return {"code": "widget.failed", "message": message, "remedy": "the kernel's log tells more; then refresh"}
