"""Asks a simulated practice for patients, as a process that shares the practice's minute with others.

    python -m tests.engine.sharing_worker DATABASE_URL BASE_URL ADMIN_URL PATIENT REQUESTS LIMIT

Its clock is the sandbox's, which only goes on when somebody waits. Prints a line for each answer: the status.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import httpx

from holovitals_pipelines.engine.allowance import AllowanceInDatabase
from holovitals_pipelines.model.connection import ReadSettings
from holovitals_pipelines.providers.clock import Clock
from holovitals_pipelines.providers.http import VendorHttp
from holovitals_pipelines.providers.rate import Limits
from holovitals_pipelines.providers.shared_rate import shared_bucket_for
from holovitals_pipelines.store.database import open_database


class SandboxTime:
    """The sandbox's clock, from outside; waiting moves it."""

    def __init__(self, admin_url: str) -> None:
        self._url = f"{admin_url}/clock"
        self._http = httpx.Client(trust_env=False)

    def now(self) -> datetime:
        return datetime.fromisoformat(self._http.get(self._url).json()["now"]).astimezone(UTC)

    async def sleep(self, seconds: float) -> None:
        self._http.post(self._url, json={"shift_seconds": min(max(seconds, 0.05), 1.0)})
        await asyncio.sleep(0)

    def clock(self) -> Clock:
        return Clock(lambda: self.now().timestamp(), self.sleep, self.now, lambda: 0.5)


async def work(database_url: str, base_url: str, admin_url: str, patient: str, requests: str, limit: str) -> None:
    database, clock = open_database(database_url), SandboxTime(admin_url).clock()
    bucket = shared_bucket_for(Limits(per_minute=int(limit)), base_url, AllowanceInDatabase(database), clock)
    http = VendorHttp("practice", base_url, ReadSettings(max_retries=0), bucket=bucket, clock=clock)
    for _ in range(int(requests)):
        answer = await http.request("GET", f"Patient/{patient}", operation="GET Patient/{id}")
        print(answer.status, flush=True)
    await http.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
