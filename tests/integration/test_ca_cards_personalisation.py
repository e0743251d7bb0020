"""A card made with the real issuance and revocation, and every way in which it can end half way."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca_core.audit import RecordedEvent
from ca_core.cards import (
    CardCertification,
    CardNotFound,
    CardService,
    CardSlot,
    CardState,
    CardStateRefused,
    CardStore,
    CertificationRequestRefused,
    ManagementKeys,
    OrderRefused,
    PersonalisationOvertaken,
    ProcessCardStation,
    ReadBackMismatch,
    StationFault,
    verify_card_number,
)
from ca_core.cards.ports import Issuance
from ca_core.issuance import CertificateStore, IssuanceRequest, IssuedCertificate
from ca_core.issuance.store import IntentStore
from ca_core.kernel.database import Database
from ca_core.kernel.errors import Unavailable
from ca_core.keys import KeyAlgorithm
from ca_core.registration import Gender, NationalIdKeys, Person, PersonStore, RegistrationService
from ca_core.revocation import RevocationReason, RevocationService
from ca_core.revocation.store import latest
from support.fakes import FakeClock, SeededRng
from support.pki import World, make_world, new_key

PIN, PUK = "482913", "71934480"
ACTOR = "operator:3"


class FakeStation:
    """A card station in memory. `before` is called with the step's name and may break it."""

    def __init__(self, before: Callable[[str], None] = lambda step: None) -> None:
        self._before = before
        self.ordered: dict[str, object] = {}
        self.on_card: dict[CardSlot, x509.Certificate] = {}

    def generate(
        self, card_number: str, keys: Mapping[CardSlot, KeyAlgorithm], *, pin: str, puk: str, management_key: bytes
    ) -> Mapping[CardSlot, x509.CertificateSigningRequest]:
        self._before("generate")
        self.ordered = {"card_number": card_number, "pin": pin, "puk": puk, "management_key": management_key}
        return {slot: self.request(slot, algorithm) for slot, algorithm in keys.items()}

    def request(self, slot: CardSlot, algorithm: KeyAlgorithm) -> x509.CertificateSigningRequest:
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        return builder.sign(new_key(algorithm), hashes.SHA256())

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> Mapping[CardSlot, x509.Certificate]:
        self._before("write")
        self.on_card = dict(certificates)
        self._before("written")
        return self.on_card


@dataclass
class House:
    """Everything around the card service, over one database."""

    world: World
    clock: FakeClock
    rng: SeededRng
    issuance: Issuance | None = None
    events: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database: Database = self.world.database
        self.certificates = CertificateStore()
        self.revocation = RevocationService(self.database, self.certificates, self.world.audit, self.clock)
        keys = NationalIdKeys({"k1": b"k" * 32}, "k1", b"l" * 32)
        self.registration = RegistrationService(
            self.database, PersonStore(), keys, self.world.audit, self.clock, self.rng
        )
        self.management_keys = ManagementKeys(b"m" * 32)
        certification = CardCertification(
            database=self.database,
            issuance=self.issuance or self.world.issuance,
            revocation=self.revocation,
            certificates=self.certificates,
            intents=IntentStore(),
            authority="citizen-g1",
        )
        self.cards = CardService(
            database=self.database,
            cards=CardStore(),
            persons=self.registration,
            certification=certification,
            management_keys=self.management_keys,
            audit=self.world.audit,
            clock=self.clock,
            rng=self.rng,
        )

    def register(self) -> Person:
        found = self.registration.find_by_national_id("A123456789")
        return found or self.registration.register(
            national_id="A123456789", name="王小明", birthdate=date(1990, 5, 17), gender=Gender.MALE, actor=ACTOR
        )

    def personalise(self, station: FakeStation, **changed: Any) -> Any:  # noqa: ANN401 - the service's own types
        order: dict[str, Any] = {"pin": PIN, "puk": PUK, "actor": ACTOR} | changed
        return self.cards.personalise(self.register().id, station, **order)

    def recorded(self, card_number: str) -> list[IssuedCertificate]:
        with self.database.read() as tx:
            return self.certificates.by_card(tx, card_number)

    def reasons(self, card_number: str) -> list[RevocationReason | None]:
        """Why each certificate of the card is revoked, or None."""
        with self.database.read() as tx:
            changes = [latest(tx, one.certificate_id) for one in self.certificates.by_card(tx, card_number)]
        return [None if change is None else change.reason for change in changes]

    def card_events(self) -> list[RecordedEvent]:
        with self.database.read() as tx:
            return [event for event in self.world.audit.recent(tx) if event.name.startswith("card.")][::-1]

    def only_attempt(self) -> Any:  # noqa: ANN401 - the service's own type
        (card,) = self.cards.of_person(self.register().id)
        return card


@pytest.fixture
def house(database: Database, clock: FakeClock, rng: SeededRng) -> House:
    return House(make_world(database, clock, rng), clock, rng)


def test_a_card_with_three_keys_and_three_certificates(house: House) -> None:
    station = FakeStation()
    card = house.personalise(station)
    verify_card_number(card.card_number)
    assert (card.state, card.issued_at) == (CardState.ISSUED, house.clock.now)
    assert house.cards.find(card.card_number) == card
    assert station.ordered == {
        "card_number": card.card_number,
        "pin": PIN,
        "puk": PUK,
        "management_key": house.management_keys.of(card.card_number),
    }
    recorded = house.recorded(card.card_number)
    assert [one.profile for one in recorded] == ["citizen-authentication", "citizen-signature", "citizen-encryption"]
    assert [one.certificate for one in recorded] == list(station.on_card.values())
    assert house.reasons(card.card_number) == [None, None, None]
    person = house.register()
    for one in recorded:
        assert (one.person_id, one.card_number) == (person.id, card.card_number)
        subject = one.certificate.subject
        assert subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value == person.subject_serial_number
        assert subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "王小明"
    assert [event.name for event in house.card_events()] == ["card.personalisation_started", "card.issued"]
    assert house.cards.recover("system:worker") == 0


def test_nothing_secret_is_recorded(house: House) -> None:
    house.personalise(FakeStation())
    with house.database.read() as tx:
        told = repr(house.world.audit.recent(tx))
    for secret in (PIN, PUK, "A123456789", "王小明"):
        assert secret not in told


def test_rsa_keys_where_they_are_ordered(house: House) -> None:
    algorithms = dict.fromkeys(CardSlot, KeyAlgorithm.RSA_2048)
    card = house.personalise(FakeStation(), algorithms=algorithms)
    assert all(one.certificate.public_key().key_size == 2048 for one in house.recorded(card.card_number))  # type: ignore[union-attr]  # RSA keys have one


@pytest.mark.parametrize(
    "changed",
    [
        {"pin": "12345"},
        {"puk": "1234567"},
        {"algorithms": {CardSlot.AUTHENTICATION: KeyAlgorithm.P_256}},
        {"algorithms": dict.fromkeys(CardSlot, KeyAlgorithm.P_384)},
    ],
)
def test_an_order_that_cannot_be_made_changes_nothing(house: House, changed: dict[str, Any]) -> None:
    with pytest.raises(OrderRefused):
        house.personalise(FakeStation(), **changed)
    assert house.cards.of_person(house.register().id) == []
    assert house.card_events() == []


def test_a_stranger_gets_no_card(house: House) -> None:
    with pytest.raises(OrderRefused):
        house.cards.personalise("x" * 22, FakeStation(), pin=PIN, puk=PUK, actor=ACTOR)
    assert house.card_events() == []


def breaks_at(step: str, error: BaseException) -> FakeStation:
    def before(present: str) -> None:
        if present == step:
            raise error

    return FakeStation(before)


@pytest.mark.parametrize("step", ["generate", "write", "written"])
@pytest.mark.parametrize("error", [StationFault("card_removed"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_failure_at_the_station_leaves_no_usable_card(house: House, step: str, error: BaseException) -> None:
    with pytest.raises(type(error)):
        house.personalise(breaks_at(step, error))
    card = house.only_attempt()
    assert (card.state, card.issued_at) == (CardState.FAILED, None)
    expected = 0 if step == "generate" else 3
    assert house.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION] * expected
    names = [event.name for event in house.card_events()]
    assert names == ["card.personalisation_started", "card.personalisation_failed"]
    house.clock.advance(7_200)
    assert house.cards.recover("system:worker") == 0


class LyingStation(FakeStation):
    """Presents the same key for every slot."""

    def __init__(self) -> None:
        super().__init__()
        self._key = ec.generate_private_key(ec.SECP256R1())

    def request(self, slot: CardSlot, algorithm: KeyAlgorithm) -> x509.CertificateSigningRequest:
        return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self._key, hashes.SHA256())


def test_a_bad_request_is_refused_before_the_ca_sees_it(house: House) -> None:
    with pytest.raises(CertificationRequestRefused):
        house.personalise(LyingStation())
    card = house.only_attempt()
    assert card.state is CardState.FAILED
    assert house.recorded(card.card_number) == []


class ForgetfulStation(FakeStation):
    """Its card answers with the certificates in the wrong slots."""

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> Mapping[CardSlot, x509.Certificate]:
        return dict(zip(certificates, reversed(list(certificates.values())), strict=True))


class DeafStation(FakeStation):
    """Its card keeps one certificate of three."""

    def write(self, certificates: Mapping[CardSlot, x509.Certificate]) -> Mapping[CardSlot, x509.Certificate]:
        return {CardSlot.AUTHENTICATION: certificates[CardSlot.AUTHENTICATION]}


@pytest.mark.parametrize("station", [ForgetfulStation(), DeafStation()])
def test_what_is_read_back_must_be_what_was_written(house: House, station: FakeStation) -> None:
    with pytest.raises(ReadBackMismatch):
        house.personalise(station)
    card = house.only_attempt()
    assert card.state is CardState.FAILED
    assert house.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION] * 3


class FailingIssuance:
    """The CA goes away after some certificates; `after_intent` when the next one's intent is recorded."""

    def __init__(self, house: House, count: int) -> None:
        self._issuance = house.world.issuance
        self._left = count

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        if self._left == 0:
            raise Unavailable("the signer is away")
        self._left -= 1
        return self._issuance.issue(request)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_ca_that_goes_away_half_way(house: House, count: int) -> None:
    broken = House(house.world, house.clock, house.rng, issuance=FailingIssuance(house, count))
    with pytest.raises(Unavailable):
        broken.personalise(FakeStation())
    card = broken.only_attempt()
    assert card.state is CardState.FAILED
    assert broken.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION] * count


class DyingProcess(BaseException):
    """Stands for kill -9: the code after it does not run."""


def test_an_open_issuance_is_revoked_once_it_was_carried_out(
    database: Database, clock: FakeClock, rng: SeededRng
) -> None:
    """The signer recorded its intent and died: nothing is revoked yet, the attempt stays, recover() ends it later."""
    world = make_world(database, clock, rng)
    dying = World(database, clock, rng, key_store=world.key_store, checkpoint=die_once_intended)
    house = House(world, clock, rng, issuance=dying.issuance)
    with pytest.raises(DyingProcess):
        house.personalise(FakeStation())
    card = house.only_attempt()
    assert card.state is CardState.FAILED
    assert house.recorded(card.card_number) == []
    clock.advance(7_200)
    assert house.cards.recover("system:worker") == 0  # still open
    world.issuance.recover()
    assert house.reasons(card.card_number) == [None]
    assert house.cards.recover("system:worker") == 1
    assert house.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION]
    assert house.cards.recover("system:worker") == 0


def die_once_intended(step: object) -> None:
    if getattr(step, "name", "") == "INTENT_RECORDED":
        raise DyingProcess


def test_what_a_killed_process_left_is_ended_after_an_hour(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process were killed while the certificates were being written: nothing of its own clean-up runs."""
    monkeypatch.setattr(CardService, "_give_up", lambda *_: None)
    with pytest.raises(DyingProcess):
        house.personalise(breaks_at("write", DyingProcess()))
    monkeypatch.undo()
    card = house.only_attempt()
    assert card.state is CardState.PERSONALISING
    house.clock.advance(3_599)
    assert house.cards.recover("system:worker") == 0
    assert house.only_attempt().state is CardState.PERSONALISING
    house.clock.advance(2)
    assert house.cards.recover("system:worker") == 1
    assert house.only_attempt().state is CardState.FAILED
    assert house.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION] * 3
    assert house.cards.recover("system:worker") == 0


def test_a_personalisation_that_was_given_up_meanwhile_does_not_finish(house: House) -> None:
    def before(step: str) -> None:
        if step == "written":
            house.clock.advance(7_200)
            assert house.cards.recover("system:worker") == 1

    with pytest.raises(PersonalisationOvertaken):
        house.personalise(FakeStation(before))
    card = house.only_attempt()
    assert card.state is CardState.FAILED
    assert house.reasons(card.card_number) == [RevocationReason.CESSATION_OF_OPERATION] * 3


class LostNews(CardStore):
    """The database commits the issued card, and the connection dies before it says so."""

    def __init__(self) -> None:
        self.database: Database | None = None

    def change(self, tx: Any, card_number: str, present: CardState, wanted: CardState, now: Any) -> bool:  # noqa: ANN401 - overrides as declared
        changed = super().change(tx, card_number, present, wanted, now)
        if wanted is CardState.ISSUED:
            tx._connection.execute("COMMIT")
            tx._connection.execute("BEGIN")
            raise Unavailable("connection lost")
        return changed


def test_a_card_that_was_issued_after_all_keeps_its_certificates(house: House) -> None:
    house.cards._cards = LostNews()
    with pytest.raises(Unavailable):
        house.personalise(FakeStation())
    card = house.only_attempt()
    assert card.state is CardState.ISSUED
    assert house.reasons(card.card_number) == [None] * 3


def test_numbers_that_are_taken_are_passed_over(house: House) -> None:
    first = house.personalise(FakeStation())
    taken = iter([first.card_number])

    def rng(size_bytes: int) -> bytes:
        number = next(taken, None) if size_bytes == 16 else None
        return house.rng(size_bytes) if number is None else int(number[1:15]).to_bytes(16, "big")

    house.cards._rng = rng
    second = house.personalise(FakeStation())
    assert second.card_number != first.card_number
    assert len(house.cards.of_person(house.register().id)) == 2


def test_a_card_is_activated_once(house: House) -> None:
    card = house.personalise(FakeStation())
    assert house.cards.activate(card.card_number, "operator:9").state is CardState.ACTIVE
    with pytest.raises(CardStateRefused):
        house.cards.activate(card.card_number, "operator:9")
    with pytest.raises(CardNotFound):
        house.cards.activate("1" * 16, "operator:9")
    assert [event.name for event in house.card_events()][-1] == "card.activated"


def test_a_failed_card_is_never_activated(house: House) -> None:
    with pytest.raises(StationFault):
        house.personalise(breaks_at("write", StationFault("card_removed")))
    with pytest.raises(CardStateRefused):
        house.cards.activate(house.only_attempt().card_number, "operator:9")


STATION = """
import sys
from contextlib import contextmanager

from card_bridge.apdu.chain import channel_over
from card_bridge.personalisation import protocol
from card_bridge.personalisation.model import FactorySecrets, Order
from card_bridge.personalisation.piv_card import PivWorkpiece
from card_bridge.personalisation.station import Station
from card_bridge.piv.card import PivCard
from card_bridge.piv.errors import CardError
from card_bridge.virtual.card import VirtualCard

card = VirtualCard()


class Wire:
    def transmit(self, command):
        return card.transmit(bytes(command))


class Bench:
    @contextmanager
    def take(self):
        card.reset()
        yield PivWorkpiece(PivCard(channel_over(Wire())), FactorySecrets())


station = Station(Bench())
for line in sys.stdin.buffer:
    try:
        order = protocol.parse_line(line)
        if isinstance(order, Order):
            answer = protocol.generated(station.generate(order))
        else:
            answer = protocol.written(station.write(order))
    except CardError as error:
        sys.stdout.buffer.write(protocol.failed(error))
        sys.stdout.buffer.flush()
        raise SystemExit(1)
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
"""


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048])
def test_the_bridges_own_station_makes_a_card(house: House, algorithm: KeyAlgorithm) -> None:
    """Two programs that share a protocol and no code: this service, and the bridge's station with a virtual card."""
    person = house.register()
    command = [sys.executable, "-c", STATION]
    algorithms = dict.fromkeys(CardSlot, algorithm)
    with ProcessCardStation(command) as station:
        card = house.cards.personalise(person.id, station, pin=PIN, puk=PUK, actor=ACTOR, algorithms=algorithms)
        assert card.state is CardState.ISSUED
        assert house.reasons(card.card_number) == [None] * 3
        # The finished card is nobody else's any more: not even its own makers overwrite it.
        with pytest.raises(StationFault, match="card_already_personalised"):
            house.cards.personalise(person.id, station, pin=PIN, puk=PUK, actor=ACTOR)
    states = [one.state for one in house.cards.of_person(person.id)]
    assert sorted(states) == [CardState.FAILED, CardState.ISSUED]
