"""`citizenid card resume` beside what is derived from the card's certificates."""

from types import SimpleNamespace
from typing import cast

import pytest

from ca_core.issuance import CertificateStore
from ca_core.kernel.database import Database
from ca_core.revocation import Change, RevocationReason
from idp.commands import card
from idp.main.authority import CertificationAuthority
from support.derived import ACTOR, HOLD, derived_request, history
from support.fakes import FakeClock, SeededRng
from support.pki import citizen_request, make_world

CARD = "1" * 16


def test_a_phone_that_was_lost_itself_stays_suspended(
    database: Database, clock: FakeClock, rng: SeededRng, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(database, clock, rng, also=("passkey",))
    origin = world.issuance.issue(citizen_request(card_number=CARD))
    lost, followed = (world.issuance.issue(derived_request(origin, number, card_number=CARD)) for number in range(2))
    ca = cast(
        CertificationAuthority,
        SimpleNamespace(database=database, certificates=CertificateStore(), revocation=world.revocation),
    )
    world.revocation.suspend(lost.authority_id, lost.serial, ACTOR)
    card._change(ca, CARD, Change.SUSPEND, HOLD)
    assert capsys.readouterr().out == "2 of 3 certificates changed\n"
    card._change(ca, CARD, Change.RESUME, RevocationReason.REMOVE_FROM_CRL)
    assert [history(database, one)[-1][0] for one in (origin, lost, followed)] == [
        Change.RESUME,
        Change.SUSPEND,
        Change.RESUME,
    ]
