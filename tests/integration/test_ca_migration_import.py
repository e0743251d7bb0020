"""Moving in: verified one by one, told apart by key, resumed after a kill, hostile files refused with their reason."""

import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import crl as asn1_crl
from asn1crypto.x509 import Time
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import text

from ca_core.authorities import AuthorityRegistry
from ca_core.backup import store as backup_store
from ca_core.issuance import CertificateStore
from ca_core.kernel.database import Database, Statement
from ca_core.kernel.second_place import Record
from ca_core.keys import KeyNotFound
from ca_core.migration.errors import AuthorityRefused, CrlRefused, SourceRefused
from ca_core.migration.journal import refused_entries, reports
from ca_core.migration.service import MigrationService
from ca_core.revocation import Change, RevocationReason, StatusLog
from ca_core.status import CertificateState, crl_store
from ca_core.status.crl import CrlService
from ca_core.status.model import next_crl_number
from ca_core.status.service import StatusService
from ca_core.validation import CertificateRevoked, CertificateValidator, Purpose
from support.fakes import START, FakeClock, SeededRng
from support.moving_in import ACTOR, moving_in, run_kind
from support.old_house import OldHouse, national_id, serial_number, write_folder, write_holders, write_ldif, write_pem
from support.pki import MemoryKeyStore, World, ceremony


class Kept:
    """A second place in a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> None:
        self.records += records


TESTS = Path(__file__).parents[1]
HELD = x509.ReasonFlags.certificate_hold
AT = START - timedelta(days=30)


@pytest.fixture(scope="module")
def house() -> OldHouse:
    return OldHouse()


@pytest.fixture
def service(database: Database, clock: FakeClock, rng: SeededRng, house: OldHouse) -> MigrationService:
    made = moving_in(database, clock, rng)
    for slug in ("root", "g1", "g2"):
        made.authorities.add(house.authorities[slug].public_bytes(Encoding.PEM), slug=f"old-{slug}", actor=ACTOR)
    return made


def rows(database: Database, sql: str) -> list[tuple[object, ...]]:
    with database.read() as tx:
        return tx.all(Statement(text(sql)))


def test_a_citizen_of_the_old_house_is_validated_and_revoked_here(
    database: Database, service: MigrationService, house: OldHouse, clock: FakeClock, tmp_path: Path
) -> None:
    holders = service.import_holders(write_holders(tmp_path / "holders.csv", range(1, 6)), actor=ACTOR)
    certificates = [house.certificate(number) for number in range(1, 6)]
    encryption = house.certificate(1, serial=101, usage=("key_encipherment", "data_encipherment"))
    report = service.import_certificates(
        write_pem(tmp_path / "all.pem", [*certificates, encryption]), "old-g1", actor=ACTOR
    )
    assert (holders.accepted, report.accepted, report.refused) == (5, 6, 0)
    listed = {2: (AT, x509.ReasonFlags.key_compromise), 3: (AT, HELD), 4: (AT, None), 999: (AT, None)}
    (tmp_path / "g1.crl").write_bytes(house.crl(listed).public_bytes(Encoding.DER))
    crl = service.import_crl(tmp_path / "g1.crl", "old-g1", actor=ACTOR)
    assert (crl.accepted, crl.refused, dict(crl.reasons)) == (3, 1, {"certificate_unknown": 1})
    registry = AuthorityRegistry(database, clock)
    validator = CertificateValidator(
        database,
        registry,
        CertificateStore(),
        StatusService(StatusLog()),
        clock,
        roots=[house.authorities["root"]],
    )
    validated = validator.verify(certificates[0].public_bytes(Encoding.DER), Purpose.LOGIN)
    assert (validated.profile, validated.card_number) == ("citizen-legacy-signature", "TP00000001")
    with pytest.raises(CertificateRevoked):
        validator.verify(certificates[1].public_bytes(Encoding.DER), Purpose.LOGIN)
    with database.read() as tx:
        changes = StatusLog().changes_after(tx, 0)
    assert [(change.serial, change.change, change.reason, change.at) for change in changes] == [
        (2, Change.REVOKE, RevocationReason.KEY_COMPROMISE, AT),
        (3, Change.SUSPEND, RevocationReason.CERTIFICATE_HOLD, AT),
        (4, Change.REVOKE, RevocationReason.UNSPECIFIED, AT),
    ]
    assert rows(database, "SELECT count(*) FROM audit_events WHERE name = 'migration.completed'") == [(3,)]
    assert rows(database, "SELECT count(*) FROM audit_events WHERE name LIKE 'certificate.%'") == [(0,)]


def test_two_generations_of_one_name_and_equal_serials_stay_apart(
    database: Database, service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    service.import_holders(write_holders(tmp_path / "holders.csv", range(1, 4)), actor=ACTOR)
    for generation in ("g1", "g2"):
        found = [house.certificate(number, authority=generation) for number in range(1, 4)]
        source = write_pem(tmp_path / f"{generation}.pem", found)
        assert service.import_certificates(source, f"old-{generation}", actor=ACTOR).accepted == 3
    wrong = service.import_certificates(tmp_path / "g1.pem", "old-g2", actor=ACTOR)
    assert dict(wrong.reasons) == {"other_authority": 3}
    (tmp_path / "g2.crl").write_bytes(house.crl({2: (AT, None)}, authority="g2").public_bytes(Encoding.PEM))
    with pytest.raises(CrlRefused):
        service.import_crl(tmp_path / "g2.crl", "old-g1", actor=ACTOR)
    assert service.import_crl(tmp_path / "g2.crl", "old-g2", actor=ACTOR).accepted == 1
    registry = AuthorityRegistry(database, lambda: START)
    with database.read() as tx:
        states = []
        for slug in ("old-g1", "old-g2"):
            issued = CertificateStore().find(tx, registry.by_slug(slug).id, 2)
            assert issued is not None
            states.append(StatusService(StatusLog()).status_of(tx, issued.certificate_id).state)
    assert states == [CertificateState.GOOD, CertificateState.REVOKED]


@pytest.mark.parametrize("forged", ["key", "signature", "list"])
def test_what_another_key_signed_under_the_same_name_is_refused(
    database: Database, service: MigrationService, house: OldHouse, tmp_path: Path, forged: str
) -> None:
    with database.read() as tx:
        before = backup_store.row_counts(tx)
    if forged == "list":
        (tmp_path / "g1.crl").write_bytes(house.crl({1: (AT, None)}, signer="g2").public_bytes(Encoding.DER))
        with pytest.raises(CrlRefused):
            service.import_crl(tmp_path / "g1.crl", "old-g1", actor=ACTOR)
        with database.read() as tx:
            assert backup_store.row_counts(tx) == before
        return
    certificate = house.certificate(1, authority="g2") if forged == "key" else house.certificate(1, signer="g2")
    report = service.import_certificates(write_pem(tmp_path / "one.pem", [certificate]), "old-g1", actor=ACTOR)
    assert dict(report.reasons) == {"other_authority" if forged == "key" else "signature_wrong": 1}
    with database.read() as tx:
        assert backup_store.row_counts(tx)["certificates"] == before["certificates"]


def test_each_refused_certificate_has_its_reason(
    database: Database, service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    service.import_holders(write_holders(tmp_path / "holders.csv", range(1, 4)), actor=ACTOR)
    folder = tmp_path / "certificates"
    folder.mkdir()
    good = house.certificate(1)
    files: dict[str, bytes] = {
        "01-good.cer": good.public_bytes(Encoding.DER),
        "02-again.pem": good.public_bytes(Encoding.PEM),
        "03-taken.cer": house.certificate(2, serial=1).public_bytes(Encoding.DER),
        "04-cut.cer": good.public_bytes(Encoding.DER)[:-9],
        "05-garbage.cer": bytes(range(256)) * 8,
        "06-large.cer": b"0" * 70_000,
        "07-two.pem": good.public_bytes(Encoding.PEM) * 2,
        "08-p256.cer": house.certificate(2, key=ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER),
        "09-usage.cer": house.certificate(2, usage=("key_agreement",)).public_bytes(Encoding.DER),
        "10-nobody.cer": house.certificate(77).public_bytes(Encoding.DER),
        "11-last4.cer": house.certificate(2, last4="0000").public_bytes(Encoding.DER),
        f"12-{national_id(5)}.cer": b"",
    }
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    (folder / "13-link.cer").symlink_to(folder / "01-good.cer")
    report = service.import_certificates(folder, "old-g1", actor=ACTOR)
    assert (report.accepted, report.known) == (1, 1)
    assert dict(report.reasons) == {
        "serial_taken": 1,
        "certificate_malformed": 3,
        "too_large": 1,
        "not_one_certificate": 1,
        "profile_unknown": 2,
        "holder_unknown": 1,
        "holder_differs": 1,
        "not_a_file": 1,
    }
    refused = [json.dumps(asdict(refusal)) for refusal in refused_entries(database)]
    assert len(refused) == report.refused == 11
    assert national_id(5) not in "".join(refused)
    assert "file 12: 12-[masked].cer" in "".join(refused)


WAYS: dict[str, Callable[[Path, list[x509.Certificate]], Path]] = {
    "folder": write_folder,
    "pem": write_pem,
    "ldif": write_ldif,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dies_at", ["written:1", "recorded:2", "written:4"])
def test_an_import_that_was_killed_ends_as_one_that_was_not(
    database: Database,
    database_url: str,
    service: MigrationService,
    house: OldHouse,
    clock: FakeClock,
    rng: SeededRng,
    tmp_path: Path,
    way: str,
    dies_at: str,
) -> None:
    service.import_holders(write_holders(tmp_path / "holders.csv", range(1, 30)), actor=ACTOR)
    certificates = [house.certificate(number) for number in range(1, 30)]
    certificates += [certificates[0], house.certificate(500), house.certificate(3, serial=2)]
    source = WAYS[way](tmp_path / "source", certificates)
    assert child(database_url, "certificates", source, dies_at, clock) == -signal.SIGKILL
    report = run_kind(moving_in(database, clock, rng, batch=7), "certificates", source)
    assert (report.accepted, report.known, dict(report.reasons)) == (29, 1, {"holder_unknown": 1, "serial_taken": 1})
    assert report.completed_at is not None
    assert rows(database, "SELECT count(*) FROM certificates WHERE profile LIKE 'citizen%'") == [(29,)]
    assert [refusal.reason for refusal in refused_entries(database)].count("holder_unknown") == 1
    places = [refusal.place for refusal in refused_entries(database)]
    assert len(set(places)) == 2
    again = run_kind(service, "certificates", source)
    assert (again.accepted, again.known, again.reasons) == (0, 30, report.reasons)
    assert rows(database, "SELECT count(*) FROM certificates WHERE profile LIKE 'citizen%'") == [(29,)]
    assert len(list(reports(database))) == 2


@pytest.mark.parametrize("kind", ["holders", "crl"])
@pytest.mark.parametrize("dies_at", ["written:2", "recorded:2"])
def test_holders_and_lists_go_on_too(
    database: Database,
    database_url: str,
    service: MigrationService,
    house: OldHouse,
    clock: FakeClock,
    rng: SeededRng,
    tmp_path: Path,
    kind: str,
    dies_at: str,
) -> None:
    source = write_holders(tmp_path / "holders.csv", range(1, 30), extra=("too,few",))
    if kind == "crl":
        service.import_holders(source, actor=ACTOR)
        pem = write_pem(tmp_path / "all.pem", [house.certificate(number) for number in range(1, 30)])
        service.import_certificates(pem, "old-g1", actor=ACTOR)
        source = tmp_path / "g1.crl"
        source.write_bytes(
            house.crl({number: (AT, None) for number in [*range(1, 30), 999]}).public_bytes(Encoding.DER)
        )
    assert child(database_url, kind, source, dies_at, clock) == -signal.SIGKILL
    report = run_kind(moving_in(database, clock, rng, batch=7), kind, source)
    assert (report.accepted, report.known, report.refused) == (29, 0, 1)
    (refusal, *_) = [found for found in refused_entries(database) if found.digest == report.digest]
    assert refusal.place == ("entry 30" if kind == "crl" else "line 31")
    with database.read() as tx:
        assert StatusLog().head(tx) == len(StatusLog().changes_after(tx, 0)) == (29 if kind == "crl" else 0)


def test_each_refused_holder_has_its_reason_and_no_word_of_the_line(
    database: Database, service: MigrationService, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = national_id(50), national_id(51)
    wrong = one[:-1] + str((int(one[-1]) + 1) % 10)
    lines = (
        f"{wrong},王,1990-01-01,男,{serial_number(50)},",
        f"{one},王,1990-13-01,男,{serial_number(50)},",
        f"{one},王,2090-01-01,男,{serial_number(50)},",
        f"{one},王,1990-01-01,別,{serial_number(50)},",
        f"{one},王,1990-01-01,男,12,",
        f"{one},王,1990-01-01,男,{serial_number(50)},no such card!",
        f"{one},王,1990-01-01",
        f'{one},"王,1990-01-01,男,{serial_number(50)},',
        f"{one}{'x' * 5_000}",
        f"{national_id(1)},王小明,1990-05-06,男,{serial_number(1)},TP00000001",
        f"{national_id(1)},王小明,1990-05-06,男,{serial_number(60)},",
        f"{two},王小明,1990-05-06,男,{serial_number(1)},",
    )
    path = write_holders(tmp_path / f"{one}.csv", range(1, 3), extra=lines)
    report = service.import_holders(path, actor=ACTOR)
    assert (report.accepted, report.known) == (2, 1)
    assert dict(report.reasons) == {
        "national_id_malformed": 1,
        "person_malformed": 3,
        "subject_serial_number_malformed": 1,
        "card_number_malformed": 1,
        "columns": 1,
        "encoding": 1,
        "line_too_long": 1,
        "person_differs": 1,
        "subject_serial_number_taken": 1,
    }
    shown = json.dumps([asdict(refusal) for refusal in refused_entries(database)]) + repr(list(reports(database)))
    audit = str(rows(database, "SELECT detail, subject FROM audit_events"))
    for secret in (one, two, wrong, national_id(1)):
        assert secret not in shown + audit + caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"dn: c=TW\nuserCertificate;binary:: " + b"A" * 20_000_000 + b"\n",
        b"dn: c=TW\nuserCertificate;binary::\n" + (b" " + b"A" * 200 + b"\n") * 100_000,
        b"-----BEGIN CERTIFICATE-----\n" + b"A" * 20_000_000,
        b"-----BEGIN CERTIFICATE-----\n" + (b"A" * 200 + b"\n") * 100_000,
        b"national_id,name,birthdate,gender,subject_serial_number\n" + b"," * 20_000_000 + b"\n",
    ],
    ids=["ldif-line", "ldif-folded", "pem-line", "pem-block", "csv-columns"],
)
def test_hostile_files_cost_bounded_memory(
    sqlite_database_url: str, clock: FakeClock, rng: SeededRng, house: OldHouse, tmp_path: Path, content: bytes
) -> None:
    database = Database.open(sqlite_database_url)
    service = moving_in(database, clock, rng)
    for slug in ("root", "g1"):
        service.authorities.add(house.authorities[slug].public_bytes(Encoding.DER), slug=f"old-{slug}", actor=ACTOR)
    path = tmp_path / "hostile"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        report = run_kind(service, "holders" if content.startswith(b"national") else "certificates", path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        database.dispose()
    assert report.accepted == 0
    assert report.refused >= 1
    assert peak < 8 * 1024 * 1024


def test_a_list_that_named_certificates_which_came_later_is_read_again(
    database: Database, service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    """Else they would be good for ever."""
    first, later = house.certificate(1), house.certificate(2)
    entries = {one.serial_number: (AT, x509.ReasonFlags.key_compromise) for one in (first, later)}
    (tmp_path / "old.crl").write_bytes(house.crl(dict(entries)).public_bytes(Encoding.DER))

    def bring(certificate: x509.Certificate) -> None:
        path = write_pem(tmp_path / f"{certificate.serial_number}.pem", [certificate])
        service.import_certificates(path, "old-g1", actor=ACTOR, without_holders=True)

    bring(first)
    report = service.import_crl(tmp_path / "old.crl", "old-g1", actor=ACTOR)
    assert (report.accepted, report.refused, dict(report.reasons)) == (1, 1, {"certificate_unknown": 1})
    bring(later)
    report = service.import_crl(tmp_path / "old.crl", "old-g1", actor=ACTOR)
    assert (report.accepted, report.known, report.refused) == (1, 1, 0)
    assert list(refused_entries(database)) == []
    assert service.import_crl(tmp_path / "old.crl", "old-g1", actor=ACTOR) == report
    assert rows(database, "SELECT count(*) FROM status_changes") == [(2,)]


def test_certificates_whose_holders_came_later_are_taken_in(
    service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    path = write_pem(tmp_path / "certificates.pem", [house.certificate(number) for number in (1, 2)])
    service.import_holders(write_holders(tmp_path / "one.csv", range(1, 2)), actor=ACTOR)
    assert service.import_certificates(path, "old-g1", actor=ACTOR).reasons == {"holder_unknown": 1}
    service.import_holders(write_holders(tmp_path / "two.csv", range(1, 3)), actor=ACTOR)
    report = service.import_certificates(path, "old-g1", actor=ACTOR)
    assert (report.accepted, report.known, report.refused) == (1, 1, 0)


def test_ldif_that_begins_with_a_folded_comment_is_ldif(
    service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    path = write_ldif(tmp_path / "export.ldif", [house.certificate(1)])
    entries = path.read_bytes().removeprefix(b"version: 1\n\n")
    path.write_bytes(
        b"# extended LDIF\n#\n\n# what ldapsearch writes above an entry, folded where its name is lon\n g\n" + entries
    )
    report = service.import_certificates(path, "old-g1", actor=ACTOR, without_holders=True)
    assert (report.accepted, report.refused) == (1, 0)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5_000, b"hello", b"\xff\xfe" * 999, b"a,b,c\n1,2,3\n"], ids=range(5)
)
def test_what_is_none_of_our_files_is_refused_as_a_whole(
    database: Database, service: MigrationService, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with database.read() as tx:
        before = backup_store.row_counts(tx)
    for kind in ("holders", "certificates", "crl"):
        with pytest.raises((SourceRefused, CrlRefused)):
            run_kind(service, kind, path)
    with pytest.raises(AuthorityRefused):
        service.authorities.add(content, slug="other", actor=ACTOR)
    with database.read() as tx:
        assert backup_store.row_counts(tx) == before


def test_an_entry_with_a_date_that_no_list_could_bear_is_refused(
    service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    pem = write_pem(tmp_path / "two.pem", [house.certificate(number) for number in (1, 2)])
    service.import_holders(write_holders(tmp_path / "holders.csv", range(1, 3)), actor=ACTOR)
    service.import_certificates(pem, "old-g1", actor=ACTOR)
    crl = asn1_crl.CertificateList.load(house.crl({1: (AT, None), 2: (AT, None)}).public_bytes(Encoding.DER))
    tbs = crl["tbs_cert_list"]
    tbs["revoked_certificates"][0]["revocation_date"] = Time({"general_time": datetime(1940, 1, 1, tzinfo=UTC)})
    key = house.keys["g1"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    crl["signature"] = key.sign(tbs.dump(force=True), ec.ECDSA(hashes.SHA256()))
    source = tmp_path / "old.crl"
    source.write_bytes(crl.dump(force=True))
    report = run_kind(service, "crl", source)
    assert (report.accepted, report.refused) == (1, 1)


def test_the_first_list_made_here_has_a_higher_number_than_the_last_one_of_the_old_house(
    database: Database, service: MigrationService, house: OldHouse, clock: FakeClock, rng: SeededRng, tmp_path: Path
) -> None:
    """The old house counts as we do, by the hour: its last list and our first one may be of the same hour."""
    key_store = MemoryKeyStore()
    key_store.keys["old-g1"] = house.keys["g1"]
    world = World(database, clock, rng, key_store=key_store)
    place = Kept()
    importing = moving_in(database, clock, rng, second_place=place)
    this_hour = next_crl_number(0, clock())
    for number in (this_hour, this_hour + 5_000, this_hour + 1):
        (tmp_path / "last.crl").write_bytes(house.crl({}, number=number).public_bytes(Encoding.DER))
        importing.import_crl(tmp_path / "last.crl", "old-g1", actor=ACTOR)
    old = world.registry.by_slug("old-g1")
    with database.read() as tx:
        assert crl_store.last_number(tx, old.id) == this_hour + 5_000
    assert [record["number"] for record in place.records] == [this_hour, this_hour + 5_000]
    crls = CrlService(database, world.registry, world.key_store, StatusLog(), world.audit, clock)
    assert crls.publish("old-g1").number == this_hour + 5_001


def test_a_list_whose_number_cannot_be_counted_on_is_refused(
    service: MigrationService, house: OldHouse, tmp_path: Path
) -> None:
    (tmp_path / "huge.crl").write_bytes(house.crl({1: (AT, None)}, number=1 << 100).public_bytes(Encoding.DER))
    with pytest.raises(CrlRefused, match="number"):
        service.import_crl(tmp_path / "huge.crl", "old-g1", actor=ACTOR)


def test_a_truncated_list_is_refused(service: MigrationService, house: OldHouse, tmp_path: Path) -> None:
    whole = house.crl({number: (AT, None) for number in range(1, 50)}).public_bytes(Encoding.DER)
    for kept in (1, 40, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.crl").write_bytes(whole[:kept])
        with pytest.raises(CrlRefused):
            service.import_crl(tmp_path / "cut.crl", "old-g1", actor=ACTOR)


def test_an_authority_without_its_key_is_status_only_and_disturbs_no_other(
    database: Database, service: MigrationService, clock: FakeClock, rng: SeededRng
) -> None:
    world = World(database, clock, rng)
    world.hold(ceremony())
    crls = CrlService(database, world.registry, world.key_store, StatusLog(), world.audit, clock)
    by_id = {authority.id: authority.slug for authority in world.registry.all()}
    assert {by_id[record.authority_id] for record in crls.publish_due()} == {"root-g1", "citizen-g1"}
    with pytest.raises(KeyNotFound):
        crls.publish("old-g1")


def child(url: str, kind: str, path: Path, dies_at: str, clock: FakeClock) -> int:
    command = [sys.executable, "-m", "support.migration_child", url, kind, str(path), dies_at, clock.now.isoformat()]
    return subprocess.run(command, cwd=TESTS, check=False, timeout=60).returncode
