"""Jobs: one that fails is tried again at its next turn, and keeps no other from its own."""

import asyncio
from contextlib import suppress

from ca_core.kernel.errors import Unavailable
from idp.main.worker import Job, run_jobs


def test_a_job_that_fails_goes_on_and_disturbs_no_other() -> None:
    """Once the token or the database is back, lists are published again without anybody's doing."""
    turns = {"crl": 0, "other": 0}
    published = []

    def publish() -> None:
        turns["crl"] += 1
        if turns["crl"] <= 3:
            raise Unavailable("the token is gone") if turns["crl"] % 2 else ValueError("a fault of ours")
        published.append(turns["crl"])

    def other() -> None:
        turns["other"] += 1

    async def until_published() -> None:
        jobs = [Job(name="crl", every_s=0, run=publish), Job(name="other", every_s=0, run=other)]
        running = asyncio.create_task(run_jobs(jobs))
        while not published and not running.done():
            await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(until_published(), 30))
    assert published[0] == 4
    assert turns["other"] >= 3
