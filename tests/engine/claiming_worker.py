"""Claims jobs in a process of its own until none is left, and prints what it got, one id a line.

    python -m tests.engine.claiming_worker HOME NAME

It says `ready` and waits for a line on standard input, and for another one when it has its first job, so that all have
one. It ends each job it was given, so that the next may begin.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holovitals_pipelines.engine.home import open_home
from holovitals_pipelines.engine.job_queue import claim_next
from holovitals_pipelines.model.vocabulary import JobStatus
from holovitals_pipelines.settings import Settings
from holovitals_pipelines.store import jobs, leases


def main(home: str, name: str) -> None:
    settings = Settings(home=Path(home), database_url=os.environ["HOLOVITALS_DATABASE_URL"])
    with open_home(settings) as opened:
        print("ready", flush=True)
        sys.stdin.readline()
        first = True
        while True:
            job = claim_next(opened, name, lane=None)
            if job is None:
                with opened.database.read() as transaction:
                    if not jobs.list_jobs(transaction, statuses=[JobStatus.PENDING, JobStatus.QUEUED]):
                        return
                continue  # the others are at work at every connection
            print(job.job_id, flush=True)
            if first:
                sys.stdin.readline()
                first = False
            with opened.database.write() as transaction:
                leases.begin_work(transaction, job.job_id, name, timedelta(minutes=1), datetime.now(UTC))
            with opened.database.write() as transaction:
                jobs.move(transaction, job.job_id, JobStatus.COMPLETED, datetime.now(UTC))


if __name__ == "__main__":
    main(*sys.argv[1:])
