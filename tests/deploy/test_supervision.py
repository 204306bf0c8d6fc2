"""Services under one supervisor: awaited, started again, ended together, never orphaned; on real processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from holovitals_pipelines.deploy.supervision import Service, require_free
from holovitals_pipelines.model.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]

READY = "import json, os, time; print(json.dumps({'ready': os.getpid()}))\n"
IDLE = READY + "time.sleep(600)"
DEAF = "import signal\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\n" + IDLE
WITH_GRANDCHILD = (
    "import subprocess, sys\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n" + IDLE
)
NEVER_READY = "import sys; print('the disk is full'); sys.exit(3)"


def described(*scripts: str) -> str:
    names = ("one", "two", "three")
    return json.dumps(
        [{"name": name, "script": script, "says_ready": "ready"} for name, script in zip(names, scripts, strict=False)]
    )


@contextmanager
def supervised(folder: Path, *scripts: str, seconds_to_ready: float = 120) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.deploy.supervised", str(folder), described(*scripts), str(seconds_to_ready)]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(process: subprocess.Popen[str], event: str) -> list[dict[str, Any]]:
    """What was told up to this event."""
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(json.loads(line))
        if told[-1]["event"] == event:
            return told
    raise AssertionError(f"it ended without {event!r}: {told}")


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def left_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(processes, timeout=30)
    return alive


def test_it_is_ready_when_all_are_and_one_signal_ends_all(tmp_path: Path) -> None:
    with supervised(tmp_path, IDLE, IDLE) as process:
        told = until(process, "all_ready")
        assert {line["service"] for line in told if line["event"] == "ready"} == {"one", "two"}
        running = descendants(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert len(running) == 3 and left_of(running) == []
    assert "one" in (log := (tmp_path / "up.log").read_text()) and "two" in log, "what both said, in one place"


def test_a_killed_supervisor_leaves_nobody_behind_not_even_a_grandchild_in_a_session_of_its_own(tmp_path: Path) -> None:
    with supervised(tmp_path, WITH_GRANDCHILD, IDLE) as process:
        until(process, "all_ready")
        running = descendants(process)
        assert len(running) == 4  # two services, a grandchild, the guardian
        process.kill()
    assert left_of(running) == []


def test_a_service_that_falls_is_started_again(tmp_path: Path) -> None:
    with supervised(tmp_path, IDLE, IDLE) as process:
        until(process, "all_ready")
        victim = next(p for p in descendants(process) if "guardian" not in " ".join(p.cmdline()))
        victim.kill()
        assert until(process, "ready")[0]["event"] == "fell"
        assert len(descendants(process)) == 3 and victim.pid not in {p.pid for p in descendants(process)}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_one_that_falls_again_and_again_is_given_longer_each_time_and_then_ends_all(tmp_path: Path) -> None:
    with supervised(tmp_path, READY + "time.sleep(0.3); raise SystemExit(7)", IDLE) as process:
        told = until(process, "failed")
        assert process.wait(timeout=30) == 1
    falls = [line["detail"] for line in told if line["event"] == "fell"]
    assert falls == [f"exit code 7; started again{pause}" for pause in ("", " in 1 s", " in 2 s", " in 4 s")]
    assert "exit code 7" in told[-1]["message"] and told[-1]["code"] == "up.service_failed"


def test_one_that_is_started_again_and_hangs_before_it_is_ready_is_started_once_more(tmp_path: Path) -> None:
    turn = tmp_path / "turn"
    hangs_at_its_second_turn = (
        f"import pathlib, time\nturn = pathlib.Path({str(turn)!r})\n"
        "turn.write_text(turn.read_text() + 'x' if turn.exists() else 'x')\n"
        "if turn.read_text() == 'xx': time.sleep(600)\n" + IDLE
    )
    with supervised(tmp_path, hangs_at_its_second_turn, IDLE, seconds_to_ready=3) as process:
        until(process, "all_ready")
        next(p for p in descendants(process) if str(turn) in " ".join(p.cmdline())).kill()
        assert until(process, "fell")[-1]["detail"].startswith("exit code")
        assert until(process, "fell")[-1]["detail"].startswith("not ready within 3 seconds")
        assert until(process, "ready")[-1]["service"] == "one" and turn.read_text() == "xxx"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_a_service_that_does_not_come_up_ends_all_with_its_last_words(tmp_path: Path) -> None:
    with supervised(tmp_path, IDLE, NEVER_READY) as process:
        failed = until(process, "failed")[-1]
        running = descendants(process)
        assert process.wait(timeout=30) == 1
    assert failed["code"] == "up.service_failed"
    assert "exit code 3" in failed["message"] and "the disk is full" in failed["message"]
    assert left_of(running) == []


def test_a_second_ctrl_c_kills_who_does_not_listen(tmp_path: Path) -> None:
    with supervised(tmp_path, DEAF) as process:
        until(process, "all_ready")
        running = descendants(process)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert left_of(running) == []


def test_a_taken_port_is_named_with_who_wanted_it_and_how_to_choose_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        api = Service("api", ["true"], port=port, port_option="--api-port")
        with pytest.raises(ConfigurationError) as caught:
            require_free([api], "holovitals up")
    assert str(port) in caught.value.message and "api" in caught.value.message
    assert f"holovitals up --api-port {port + 1}" in (caught.value.remedy or "")


def test_two_services_cannot_have_one_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    services = [Service("api", ["true"], port=port), Service("lab", ["true"], port=port)]
    with pytest.raises(ConfigurationError, match="both want port"):
        require_free(services, "holovitals up")
