"""The HTTP client with which tests speak to what they have started on this machine.

Law: every request has a TCP connection of its own, so that no test meets one that another has left half closed.
"""

from __future__ import annotations

import httpx

# One for all: each client reads the machine's certificates anew, which takes longer than most requests.
LOCAL = httpx.Client(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
