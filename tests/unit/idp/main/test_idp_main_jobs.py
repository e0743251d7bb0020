"""Jobs: one that fails is tried again at its next turn, and keeps no other from its own."""

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from ca_core.kernel.errors import Unavailable
from idp.main.metrics import JobMetrics
from idp.main.worker import Job, run_jobs


def test_a_job_that_fails_goes_on_and_disturbs_no_other() -> None:
    """Once the token or the database is back, lists are published again without anybody's doing."""
    turns = {"crl": 0, "other": 0}
    published = []
    registry = CollectorRegistry()

    def publish() -> None:
        turns["crl"] += 1
        if turns["crl"] <= 3:
            raise Unavailable("the token is gone") if turns["crl"] % 2 else ValueError("a fault of ours")
        published.append(turns["crl"])

    def other() -> None:
        turns["other"] += 1

    def turn_of_crl(outcome: str) -> float | None:
        return registry.get_sample_value("citizenid_job_turns_total", {"job": "crl", "outcome": outcome})

    async def until_published() -> None:
        jobs = [Job(name="crl", every_s=0, run=publish), Job(name="other", every_s=0, run=other)]
        running = asyncio.create_task(run_jobs(jobs, JobMetrics(registry)))
        while turn_of_crl("ok") is None and not running.done():
            await asyncio.sleep(0)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(until_published(), 30))
    assert published[0] == 4
    assert turns["other"] >= 3
    assert turn_of_crl("failed") == 3
    assert turn_of_crl("ok") == len(published)
    assert registry.get_sample_value("citizenid_job_last_success_timestamp_seconds", {"job": "crl"})
