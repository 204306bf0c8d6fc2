"""Create the virtual environment and install a lock into it, with the standard library and nothing else.

`python scripts/install.py VENV LOCK`: uv goes into the environment by pip, the lock by uv, every file checked by its
hash. uv does not read pip's configuration, so a package index configured for pip is passed on to it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path


def main(environment: Path, lock: Path) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 the one script an older Python may start
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Try: make PYTHON=python3.12 …")
    python = environment / "bin" / "python"
    if not python.exists():
        print(f"Creating {environment}", flush=True)
        venv.create(environment, with_pip=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--require-hashes", "-r", "requirements/uv.txt"])
    uv = [str(environment / "bin" / "uv"), "pip"]
    settings = os.environ | {"VIRTUAL_ENV": str(environment.resolve())} | index_for_uv(pip)
    print(f"Installing {lock}", flush=True)
    run([*uv, "install", "--quiet", "--require-hashes", "-r", str(lock)], settings)
    run([*uv, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", "."], settings)


def index_for_uv(pip: list[str]) -> dict[str, str]:
    """pip's configured index, in uv's own variables, unless uv has been told already."""
    told = {"UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONFIG_FILE"}
    if told & os.environ.keys():
        return {}
    configured = (
        os.environ.get("PIP_INDEX_URL")
        or subprocess.run(
            [*pip, "config", "get", "global.index-url"], capture_output=True, text=True, check=False
        ).stdout.strip()
    )
    return {"UV_DEFAULT_INDEX": configured} if configured else {}


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    finished = subprocess.run(command, env=environment, check=False)
    if finished.returncode:
        sys.exit(
            f"Installation failed: {' '.join(command[:4])} … ended with {finished.returncode}. See the lines above."
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
