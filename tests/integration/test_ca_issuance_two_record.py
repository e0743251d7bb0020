"""Two processes record the same certificates at once, each in its own order."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ca_core.issuance.checkpoint import Step
from ca_core.kernel.database import Database
from support.derived import Died
from support.fakes import FakeClock, SeededRng
from support.pki import citizen_request, make_world
from support.postgresql import somebody_waits


def test_neither_waits_for_the_other_in_a_circle(
    postgresql_database_url: str, clock: FakeClock, rng: SeededRng
) -> None:
    """As `recover` does, by request id, beside the batch that drew them up."""
    database = Database.open(postgresql_database_url)
    dies_at: list[Step] = []
    wrote: set[int] = set()

    def checkpoint(step: Step) -> None:
        if step in dies_at:
            raise Died
        if dies_at and step is Step.CERTIFICATE_WRITTEN:
            wrote.add(threading.get_ident())
            while not (len(wrote) == 2 or somebody_waits(database)):
                threading.Event().wait(0.005)

    world = make_world(database, clock, rng, checkpoint=checkpoint)
    dies_at.append(Step.INTENT_RECORDED)
    with pytest.raises(Died):
        world.issuance.issue_many([citizen_request(f"request-{number}") for number in (2, 1)])
    records, signer = world.issuance._records, world.issuance._signer
    (intents,) = records.open_intents()
    signatures = signer.sign(intents)
    signed = [
        signer.verified(intent, *signature)
        for intent, signature in zip(intents, signatures, strict=True)
        if isinstance(signature, tuple)
    ]
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(records.record_certificates, order, clock()) for order in (signed, signed[::-1])]
        first, second = (one.result(timeout=30) for one in both)
    assert first == second[::-1]
    assert [one.serial for one in first] == [intent.serial for intent in intents]
    database.dispose()
