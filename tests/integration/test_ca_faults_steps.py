"""Acts on a disk with room for one page more each time, and with the database gone one statement later each time.

And killed before any step of them. Each is refused or broken off until it fits, or passes; then it was done once, and
nothing is lost.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from asn1crypto.tsp import MessageImprint, TimeStampReq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ca_core.audit.log_key import SoftwareLogKey
from ca_core.audit.published import PublishedLog
from ca_core.audit.publisher import CheckpointPublisher
from ca_core.authorities.errors import CeremonyAlreadyHeld
from ca_core.crl_shards import ShardLayouts
from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.keys import SoftwareKeyStore
from ca_core.revocation import AlreadyRevoked, RevocationReason
from ca_core.timestamp.request import parse_timestamp_request
from support.bounded_files import until_it_fits
from support.dying import killed_before
from support.fakes import FakeClock, SeededRng
from support.pki import PUBLICATION_URL, ceremony, citizen_request
from support.whole_ca import ACTOR, SLUG, WholeCa, until_it_passes

Act = tuple[Callable[[], object], Callable[[], bool]]
"""What is done, and whether it was done once."""


def holding_a_ceremony(ca: WholeCa, _folder: Path) -> Act:
    before, file = ca.events("authority.created"), ceremony(with_root=False, issuing=("citizen-g2",))
    return (
        lambda: ca.world.hold(file),
        lambda: (
            ca.events("authority.created") == before + 1
            and ca.registry.by_slug("citizen-g2").certificate.subject == ca.authority.certificate.subject
            and ca.world.issuance.issue(citizen_request("g2", authority="citizen-g2")).serial > 0
        ),
    )


def issuing(ca: WholeCa, _folder: Path) -> Act:
    before, request = len(ca.rows("certificates")), citizen_request("one")
    return lambda: ca.world.issuance.issue(request), lambda: len(ca.rows("certificates")) == before + 1


def renewing_responders(ca: WholeCa, _folder: Path) -> Act:
    before = len(ca.rows("ocsp_responders"))
    ca.clock.advance(400 * 86_400)
    return lambda: ca.ocsp_responders.ensure(
        ca.world.issuance, ca.rng
    ), lambda: len(ca.rows("ocsp_responders")) == before + 2 and ca.rows("ocsp_responder_orders") == []


def renewing_the_unit(ca: WholeCa, _folder: Path) -> Act:
    before = len(ca.rows("timestamp_units"))
    ca.clock.advance(400 * 86_400)
    return lambda: ca.units.ensure(ca.world.issuance, ca.rng), lambda: len(ca.rows("timestamp_units")) == before + 1


def compromised(ca: WholeCa, _folder: Path) -> Act:
    """A change of status that blocks the key as well."""
    issued = ca.issue()
    return lambda: ca.revocations.revoke(
        issued.authority_id, issued.serial, RevocationReason.KEY_COMPROMISE, ACTOR
    ), lambda: (len(ca.rows("status_changes")), len(ca.rows("blocked_keys")), ca.events("key.blocked")) == (1, 1, 1)


def listing(ca: WholeCa, _folder: Path) -> Act:
    issued = ca.issue()
    ca.revocations.revoke(issued.authority_id, issued.serial, RevocationReason.SUPERSEDED, ACTOR)
    return lambda: ca.crls.publish(SLUG), lambda: ca.events("crl.published") == 1


def introducing_shards(ca: WholeCa, _folder: Path) -> Act:
    layouts = ShardLayouts(ca.database, ca.audit, ca.clock)

    def introduce() -> None:
        layouts.introduce(ca.authority.id, SLUG, count=3, publication_url=PUBLICATION_URL, actor=ACTOR)

    return introduce, lambda: len(ca.rows("crl_shard_layouts")) == 1


def stamping(ca: WholeCa, _folder: Path) -> Act:
    imprint = MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": b"h" * 32})
    asked = parse_timestamp_request(TimeStampReq({"version": 1, "message_imprint": imprint}).dump(), ca.tsa._settings)
    return lambda: ca.tsa.stamp(asked), lambda: len(ca.rows("timestamps")) == 1


def sealing(ca: WholeCa, _folder: Path) -> Act:
    assert ca.stamp()
    ca.clock.advance(600)
    return lambda: ca.records.seal(ACTOR), lambda: ca.events("timestamp.sealed") == 1


def publishing_a_checkpoint(ca: WholeCa, folder: Path) -> Act:
    key = SoftwareLogKey("pki.example/pki/log", Ed25519PrivateKey.from_private_bytes(b"\x07" * 32), folder / "memory")
    while ca.sequencer.run_once():
        pass
    publisher = CheckpointPublisher(ca.database, key, ca.clock)

    def once() -> bool:
        published = PublishedLog(ca.database).checkpoint()
        assert [path.name for path in folder.iterdir() if path.name.endswith(".new")] == []
        return published is not None and published == key.last_signed() and publisher.publish_due() is None

    return publisher.publish_due, once


ACTS = [
    *(holding_a_ceremony, issuing, renewing_responders, renewing_the_unit, compromised, listing, introducing_shards),
    *(stamping, sealing, publishing_a_checkpoint),
]


@pytest.mark.parametrize("prepared", ACTS, ids=lambda prepared: prepared.__name__)
def test_a_disk_that_is_full_at_any_page(
    sqlite_database_url: str,
    clock: FakeClock,
    rng: SeededRng,
    tmp_path: Path,
    prepared: Callable[[WholeCa, Path], Act],
) -> None:
    database = Database.open(sqlite_database_url)
    ca = WholeCa(database, clock, rng)
    act, was_done_once = prepared(ca, tmp_path)
    assert until_it_fits(database, act) >= 1
    assert was_done_once()
    ca.verify_whole()
    database.dispose()


@pytest.mark.parametrize("prepared", ACTS, ids=lambda prepared: prepared.__name__)
def test_a_database_that_is_gone_at_any_statement(
    database: Database,
    clock: FakeClock,
    rng: SeededRng,
    tmp_path: Path,
    prepared: Callable[[WholeCa, Path], Act],
) -> None:
    ca = WholeCa(database, clock, rng)
    act, was_done_once = prepared(ca, tmp_path)
    assert until_it_passes(act) >= 2
    assert was_done_once()
    ca.verify_whole()


KILLED = [renewing_responders, renewing_the_unit, compromised, sealing, holding_a_ceremony]
"""Those that no other test kills at each step."""


@pytest.mark.parametrize("prepared", KILLED, ids=lambda prepared: prepared.__name__)
def test_kill_9_before_any_step(
    database: Database, clock: FakeClock, tmp_path: Path, prepared: Callable[[WholeCa, Path], Act]
) -> None:
    keys = SoftwareKeyStore(tmp_path / "keys", b"for tests only")
    ca = WholeCa(database, clock, system_rng, keys)  # type: ignore[arg-type]  # keys that outlive a process
    act, was_done_once = prepared(ca, tmp_path)

    def again() -> None:
        with suppress(AlreadyRevoked, CeremonyAlreadyHeld):  # by one that was killed after its commit
            act()

    count, died = 0, True
    while died:
        count += 1
        assert count < 400
        database.connections.close()  # a child opens its own
        database.engine.dispose()
        died = killed_before(count, lambda: again)
    assert count > 4
    assert was_done_once()
    ca.verify_whole()
