"""Many nodes with keys of their own: each goes on with its own OCSP responder and its own open order."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.kernel.database import Database, Transaction
from ca_core.keys import KeyNotFound
from ca_core.revocation import StatusLog
from ca_core.status import Responders, StatusService
from ca_core.status.model import CertificateStatus
from support.fakes import FakeClock, SeededRng
from support.small_pki import MemoryKeys, RequestIssuer, SmallPki


@dataclass
class World:
    database: Database
    clock: FakeClock
    rng: SeededRng
    pki: SmallPki
    responders: Responders


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> World:
    """The first node, with its responders."""
    pki = SmallPki()
    responders = Responders(database, pki.authorities, pki.keys, StatusService(StatusLog()), clock)
    responders.ensure(RequestIssuer(pki, clock), rng)
    return World(database, clock, rng, pki, responders)


class CountingStatus(StatusService):
    """Counts what it is asked."""

    asked = 0

    def status_of(self, tx: Transaction, certificate_id: int) -> CertificateStatus:
        self.asked += 1
        return super().status_of(tx, certificate_id)


@dataclass(frozen=True)
class NodeIssuer:
    """The issuance as a node with keys of its own has it. away: the authority whose key cannot be used."""

    pki: SmallPki
    clock: FakeClock
    keys: MemoryKeys
    asked: list[str]
    away: str = ""

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        self.asked.append(request.request_id)
        if request.authority == self.away:
            raise KeyNotFound(request.authority)
        now = self.clock()
        return self.pki.issue(
            self.pki.authorities.by_slug(request.authority),
            request.profile,
            key=self.keys.private_key(request.request_id),
            not_before=now,
            not_after=now + timedelta(days=30),
        )


def test_each_of_many_nodes_with_keys_of_its_own_goes_on_with_its_responder(world: World) -> None:
    own, log, asked = world.responders.current(world.pki.g3.id), StatusLog(), list[str]()
    for _ in range(20):
        keys = MemoryKeys()
        node = Responders(world.database, world.pki.authorities, keys, StatusService(log), world.clock)
        assert len(node.ensure(NodeIssuer(world.pki, world.clock, keys, asked), world.rng)) == 3
    world.clock.advance(2)
    status = CountingStatus(log)
    again = Responders(world.database, world.pki.authorities, world.pki.keys, status, world.clock)
    assert again.current(world.pki.g3.id).certificate_id == own.certificate_id
    assert status.asked == 1  # of nobody else's responder
    assert again.ensure(NodeIssuer(world.pki, world.clock, world.pki.keys, asked), world.rng) == []


def test_each_of_many_nodes_that_wait_for_an_authority_goes_on_with_its_key(world: World) -> None:
    nodes, asked = [MemoryKeys() for _ in range(20)], list[str]()
    for keys in [*nodes, *nodes]:
        node = Responders(world.database, world.pki.authorities, keys, StatusService(StatusLog()), world.clock)
        assert "citizen-g3" not in node.ensure(
            NodeIssuer(world.pki, world.clock, keys, asked, away="citizen-g3"), world.rng
        )
        world.clock.advance(1)
    assert [len(keys.kept) for keys in nodes] == [3] * 20
    assert len(set(asked)) == 60
