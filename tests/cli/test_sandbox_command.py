"""`holovitals sandbox` as scripts start it: in the background, where a shell makes its children deaf to Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

COMMAND = str(Path(sys.executable).with_name("holovitals"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_asked_to_and_so_do_its_vendors(tmp_path: Path, number: signal.Signals) -> None:
    deaf = f"trap '' INT; exec {COMMAND} sandbox --patients 1 --port 0"
    serving = subprocess.Popen(["sh", "-c", deaf], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert serving.stdout is not None
        base_url = next(line.split()[1] for line in serving.stdout if line.startswith("fhir: "))
        assert httpx.get(f"{base_url}/metadata", trust_env=False).status_code == 200
        serving.send_signal(number)
        assert serving.wait(timeout=30) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{base_url}/metadata", trust_env=False)
    finally:
        serving.kill()
        serving.wait()
