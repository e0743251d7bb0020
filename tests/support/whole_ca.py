"""A certification authority with every service, over one database, with keys that count and may go away."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest
from asn1crypto import tsp
from cryptography.x509 import ocsp

from ca_core.audit import AuditSequencer, verify_log
from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.model import Authority
from ca_core.issuance import CertificateStore, IssuedCertificate
from ca_core.kernel.database import Database, PipelinedTransaction, Transaction
from ca_core.kernel.errors import Unavailable
from ca_core.kernel.rng import Rng
from ca_core.revocation import RevocationService, StatusLog
from ca_core.status import CrlArchive, CrlService, OcspResponder, Responders, StatusService
from ca_core.status.crl_checker import CrlChecker
from ca_core.timestamp import SteadyClock, TimestampAuthority, TimestampRecords, TimestampUnits
from support.audit_refusal import CountingKeyStore, contents
from support.fakes import FakeClock
from support.ocsp_requests import ocsp_request
from support.pki import PUBLICATION_URL, World, ceremony_toml, citizen_request

ACTOR = "operator:7"
SLUG = "citizen-g1"


@dataclass
class WholeCa:
    """Founded a day before it is used: root-g1, citizen-g1, their responders, a time-stamping unit."""

    database: Database
    clock: FakeClock
    rng: Rng
    keys: CountingKeyStore = field(default_factory=CountingKeyStore)

    def __post_init__(self) -> None:
        database, clock = self.database, self.clock
        self.world = World(database, clock, self.rng, key_store=self.keys)
        text = ceremony_toml().replace('"internal-tls"', '"internal-tls", "time-stamping"')
        self.world.hold(parse_ceremony(text.encode()))
        self.audit, self.registry = self.world.audit, self.world.registry
        self.log, self.store = StatusLog(), CertificateStore()
        self.status = StatusService(self.log)
        self.revocations = RevocationService(database, self.store, self.audit, clock)
        self.crls = CrlService(
            database, self.registry, self.keys, self.log, self.audit, clock, publication_url=PUBLICATION_URL
        )
        self.archive = CrlArchive(database, self.registry)
        self.ocsp = self.node()
        self.ocsp_responders.ensure(self.world.issuance, self.rng)
        self.units = TimestampUnits(database, self.registry, self.keys, self.status, clock, authority=SLUG)
        self.units.ensure(self.world.issuance, self.rng)
        self.records = TimestampRecords(database, self.audit, clock)
        self.tsa = TimestampAuthority(
            self.units, self.records, SteadyClock(clock, monotonic=lambda: clock().timestamp()), clock, self.rng
        )
        self.sequencer = AuditSequencer(database, clock)
        clock.advance(86_400)

    @property
    def authority(self) -> Authority:
        return self.registry.by_slug(SLUG)

    @property
    def ocsp_responders(self) -> Responders:
        return self.ocsp._responders

    def node(self) -> OcspResponder:
        """A responder with nothing in its memory."""
        responders = Responders(self.database, self.registry, self.keys, self.status, self.clock)
        return OcspResponder(self.database, self.registry, self.store, self.status, self.log, responders, self.clock)

    def issue(self, request_id: str = "first", number: int = 1) -> IssuedCertificate:
        return self.world.issuance.issue(citizen_request(request_id, card_number=f"{number:016d}"))

    def ask(
        self, responder: OcspResponder, issued: IssuedCertificate, *, nonce: bytes | None = None
    ) -> ocsp.OCSPResponse:
        return ocsp.load_der_ocsp_response(responder.respond(ocsp_request(issued, self.authority, nonce=nonce)).der)

    def stamp(self, data: bytes = b"document") -> bool:
        """Whether a stamp was given."""
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256(data).digest()}
        asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True}).dump()
        return self.tsa.respond(asked).failure is None

    def rows(self, table: str) -> list[tuple[object, ...]]:
        return contents(self.database)[table]

    def events(self, name: str) -> int:
        with self.database.read() as tx:
            return [event.name for event in self.audit.recent(tx, limit=1_000)].count(name)

    def verify_whole(self) -> None:
        """No certificate and no change lost, no serial twice; lists and log are what they must be."""
        self.world.issuance.recover()
        found = contents(self.database)
        intents, certificates = len(found["issuance_intents"]), found["certificates"]
        assert intents == len(certificates) == self.events("certificate.issued")
        with self.database.read() as tx:
            head = self.log.head(tx)
            changes = [change.sequence for change in self.log.changes_after(tx, 0, limit=10_000)]
        assert changes == list(range(1, head + 1))
        for slug in ("root-g1", SLUG):
            self.crls.publish(slug)
            checker = CrlChecker(self.database, self.registry, self.log, self.clock)
            assert checker.check(slug).faults == []
        while self.sequencer.run_once():
            pass
        verify_log(self.database)


@contextmanager
def failing_from(count: int) -> Iterator[list[int]]:
    """Every statement from the count-th on finds no database (the first is 1). Yields how many there were."""
    run = [0]
    lock = threading.Lock()

    def failing(method: Callable[..., Any]) -> Callable[..., Any]:
        def called(self: Transaction, *arguments: object, **params: object) -> object:
            with lock:
                run[0] += 1
                gone = run[0] >= count
            if gone:
                raise Unavailable("the database is gone")
            return method(self, *arguments, **params)

        return called

    with pytest.MonkeyPatch.context() as patch:
        for name in ("execute", "execute_many", "all", "one_or_none", "stream"):
            patch.setattr(Transaction, name, failing(getattr(Transaction, name)))
        for name in ("execute", "execute_many", "all", "one_or_none", "add"):  # PostgreSQL's, where it is another
            patch.setattr(PipelinedTransaction, name, failing(getattr(PipelinedTransaction, name)))
        yield run


def until_it_passes(act: Callable[[], object], most: int = 400) -> int:
    """The act, with the database gone one statement later each time, until there is no statement left to miss.

    Returns how often it failed; each time by Unavailable.
    """
    for count in range(1, most):
        with failing_from(count) as run:
            try:
                act()
            except Unavailable:
                continue
        assert run[0] < count, "the act swallowed that the database was gone"
        return count - 1
    raise AssertionError("it never passes")
