"""Delta CRLs and shards on both databases, judged by openssl, certtool, NSS and pkilint."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.model import Authority
from ca_core.crl_shards import ShardLayoutRefused
from ca_core.issuance.model import IssuedCertificate
from ca_core.kernel.database import Database
from ca_core.status import crl_overdue
from ca_core.status.errors import CrlBaseMissing, CrlOverdue
from support.crl_world import ACTOR, PUBLICATION_URL, CrlWorld, judge, number_of, serials
from support.fakes import FakeClock, SeededRng
from support.processes import required_program, run
from support.small_pki import SmallPki

REMOVED = x509.ReasonFlags.remove_from_crl


@pytest.fixture
def world(database: Database, clock: FakeClock, rng: SeededRng) -> CrlWorld:
    return CrlWorld(database, clock, rng, SmallPki())


def base_number(crl: x509.CertificateRevocationList) -> int:
    found = crl.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert found.critical
    return found.value.crl_number


def removed(crl: x509.CertificateRevocationList) -> set[int]:
    found = set()
    for entry in crl:
        try:
            if entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is REMOVED:
                found.add(entry.serial_number)
        except x509.ExtensionNotFound:
            continue
    return found


def verified(
    world: CrlWorld,
    issued: IssuedCertificate,
    folder: Path,
    *crls: x509.CertificateRevocationList,
    options: tuple[str, ...],
) -> str:
    """What `openssl verify` says of a certificate, with those lists and no others."""
    root, between, leaf, lists = (folder / name for name in ("root.pem", "between.pem", "leaf.pem", "lists.pem"))
    pki = world.pki
    root.write_bytes(pki.root.certificate.public_bytes(Encoding.PEM))
    between.write_bytes(b"".join(ca.certificate.public_bytes(Encoding.PEM) for ca in (pki.g2, pki.g3)))
    leaf.write_bytes(issued.certificate.public_bytes(Encoding.PEM))
    lists.write_bytes(b"".join(crl.public_bytes(Encoding.PEM) for crl in crls))
    at = str(int(world.clock().timestamp()))
    trust: list[str | Path] = ["-CAfile", root, "-untrusted", between, "-CRLfile", lists]
    command = [required_program("openssl"), "verify", "-crl_check", *options, "-attime", at, *trust, leaf]
    done = run(command, check=False)
    return done.stdout + done.stderr


def is_good(said: str) -> bool:
    if "certificate revoked" in said:
        return False
    assert said.endswith("leaf.pem: OK\n"), said
    return True


def test_a_delta_says_what_changed_and_openssl_believes_it(world: CrlWorld, clock: FakeClock, tmp_path: Path) -> None:
    g3 = world.pki.g3
    first, later, held, good = (world.issue(g3) for _ in range(4))
    world.revoke(first)
    world.revocations.suspend(g3.id, held.serial, ACTOR)
    world.crls.publish(g3.slug)
    clock.advance(600)
    world.revoke(later)
    world.revocations.resume(g3.id, held.serial, ACTOR)
    record = world.crls.publish_delta(g3.slug)
    complete, delta = world.complete(), world.delta()
    assert base_number(delta) == number_of(complete) == record.base_number
    assert number_of(delta) == number_of(complete) + 1
    assert (serials(delta), removed(delta)) == ({later.serial, held.serial}, {held.serial})
    judge(complete, g3, tmp_path)
    judge(delta, g3, tmp_path)
    use = ("-use_deltas", "-extended_crl")
    said = [
        is_good(verified(world, leaf, tmp_path, complete, delta, options=use)) for leaf in (first, later, held, good)
    ]
    assert said == [False, False, True, True]
    alone = [is_good(verified(world, leaf, tmp_path, complete, options=())) for leaf in (first, later, held, good)]
    assert alone == [False, True, False, True]
    point = complete.extensions.get_extension_for_class(x509.FreshestCRL).value[0]
    assert point.full_name == [x509.UniformResourceIdentifier(f"{PUBLICATION_URL}/crl/citizen-g3-delta.crl")]
    assert world.check().faults == []


def test_a_delta_serves_those_who_have_the_list_before_the_latest(
    world: CrlWorld, clock: FakeClock, tmp_path: Path
) -> None:
    g3 = world.pki.g3
    one, two, three = (world.issue(g3) for _ in range(3))
    world.revoke(one)
    world.crls.publish(g3.slug)
    older = world.complete()
    clock.advance(12 * 3600)
    world.revoke(two)
    world.crls.publish(g3.slug)
    newer = world.complete()
    world.revoke(three)
    world.crls.publish_delta(g3.slug)
    delta = world.delta()
    assert base_number(delta) == number_of(older)
    assert serials(delta) == {two.serial, three.serial}
    use = ("-use_deltas", "-extended_crl")
    for held in (older, newer):
        assert not any(is_good(verified(world, leaf, tmp_path, held, delta, options=use)) for leaf in (two, three))
    clock.advance(13 * 3600)
    assert world.crls.publish_delta(g3.slug).base_number == number_of(newer)  # the older one is over


def test_what_expires_before_it_was_on_a_complete_list_stays_on_deltas(world: CrlWorld, clock: FakeClock) -> None:
    g3 = world.pki.g3
    world.crls.publish(g3.slug)
    issued = world.issue(g3, not_after=clock.now + timedelta(hours=2))
    world.revoke(issued)
    for _ in range(4):
        clock.advance(3600)
        world.crls.publish_delta(g3.slug)
        assert serials(world.delta()) == {issued.serial}
    world.crls.publish(g3.slug)
    assert serials(world.complete()) == {issued.serial}
    assert world.check().faults == []
    clock.advance(3600)
    world.crls.publish(g3.slug)
    assert serials(world.complete()) == set()
    assert world.check().faults == []


def test_a_delta_needs_a_base(world: CrlWorld) -> None:
    with pytest.raises(CrlBaseMissing):
        world.crls.publish_delta("citizen-g3")
    assert world.archive.latest_delta("citizen-g3") is None
    assert world.crls.publish("citizen-g3").number == 2026030209


def test_publishing_when_due(world: CrlWorld, clock: FakeClock) -> None:
    kinds = [record.kind.value for record in world.crls.publish_due()]
    assert kinds == ["complete", "complete", "delta", "complete", "delta"]  # the root has no deltas
    assert world.crls.publish_due() == []
    clock.advance(3600)
    assert [record.kind.value for record in world.crls.publish_due()] == ["delta", "delta"]
    clock.advance(11 * 3600)
    assert len(world.crls.publish_due()) == 5
    for slug in ("citizen-g2", "citizen-g3"):
        assert world.check(slug).faults == []


def test_numbers_are_shared_and_rise_though_the_clock_steps_back(world: CrlWorld, clock: FakeClock) -> None:
    g3 = world.pki.g3
    brief = world.issue(g3, not_after=clock.now + timedelta(minutes=30))
    world.revoke(brief)
    numbers = []
    for step_s in (0, 3600, 0, -3600, 0, 60):
        clock.advance(step_s)
        numbers += [world.crls.publish(g3.slug).number, world.crls.publish_delta(g3.slug).number]
        if brief.certificate.not_valid_after_utc >= clock.now:
            assert brief.serial in serials(world.complete())
        assert world.check().faults == []
    assert numbers == sorted(set(numbers))


def test_shards_are_the_complete_list_dealt_out(world: CrlWorld, clock: FakeClock, tmp_path: Path) -> None:
    g3 = world.pki.g3
    before = [world.issue(g3) for _ in range(2)]
    world.introduce(g3, 3)
    dealt = [world.issue(g3) for _ in range(9)]
    clock.advance(2)
    world.introduce(g3, 2, url="http://other.example.tw/pki")
    anew = [world.issue(g3) for _ in range(4)]
    revoked = [*before, *dealt[:7], *anew[:3]]
    world.revoke(*revoked)
    record = world.crls.publish(g3.slug)
    assert record.entries == len(revoked)
    found: set[int] = set()
    for number in range(5):
        shard = world.shard(number)
        point = shard.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert point.critical
        mine = {issued.serial for issued in (*dealt, *anew) if issued.crl_shard == number}
        uris = {_first_uri(issued) for issued in (*dealt, *anew) if issued.crl_shard == number}
        assert {name.value for name in point.value.full_name or ()} == uris
        assert number_of(shard) == record.number
        assert serials(shard) == mine & {issued.serial for issued in revoked}
        if number in (0, 4):
            judge(shard, g3, tmp_path)
        found |= serials(shard)
    assert found | {issued.serial for issued in before} == serials(world.complete())
    check = world.check()
    assert (check.faults, check.shards, check.without_shard) == ([], 5, 2)
    assert world.archive.latest_shard(g3.slug, 5) is None
    for leaf in (dealt[0], dealt[8]):
        assert leaf.crl_shard is not None
        said = verified(world, leaf, tmp_path, world.shard(leaf.crl_shard), options=("-extended_crl",))
        assert is_good(said) is (leaf is dealt[8])
        strange = world.shard((leaf.crl_shard + 1) % 3)
        assert "OK" not in verified(world, leaf, tmp_path, strange, options=("-extended_crl",))


def _first_uri(issued: IssuedCertificate) -> str:
    points = issued.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    names = points[0].full_name
    assert names is not None
    return str(names[0].value)


def test_layouts_are_kept_and_bounded(world: CrlWorld) -> None:
    g3 = world.pki.g3
    world.introduce(g3, 1000)
    for count in (0, -1, 25):
        with pytest.raises(ShardLayoutRefused):
            world.introduce(g3, count)
    world.introduce(g3, 24)
    with world.database.read() as tx:
        assert [layout.numbers for layout in world.shards.all(tx, g3.id)] == [range(1000), range(1000, 1024)]
        names = [event.name for event in world.audit.recent(tx)]
    assert names.count("crl.shards_introduced") == 2
    assert world.shards.current(world.pki.g2.id) is None


def test_two_authorities_of_one_name_with_the_same_serials(world: CrlWorld, clock: FakeClock, tmp_path: Path) -> None:
    g2, g3 = world.pki.g2, world.pki.g3
    for authority in (g2, g3):
        world.introduce(authority, 2)
    pairs = [(world.issue(g3, serial=serial), world.issue(g2, serial=serial)) for serial in (0x1234, 0x1235, 0x1236)]
    for authority in (g2, g3):
        world.crls.publish(authority.slug)
    for of_g3, _ in pairs[:2]:
        world.revoke(of_g3)
    expected = {of_g3.serial for of_g3, _ in pairs[:2]}
    for authority in (g2, g3):
        world.crls.publish_delta(authority.slug)
    assert (serials(world.delta("citizen-g3")), serials(world.delta("citizen-g2"))) == (expected, set())
    use = ("-use_deltas", "-extended_crl")
    lists = [crl for slug in ("citizen-g2", "citizen-g3") for crl in (world.complete(slug), world.delta(slug))]
    for of_g3, of_g2 in pairs:
        assert is_good(verified(world, of_g2, tmp_path, *lists, options=use))
        assert is_good(verified(world, of_g3, tmp_path, *lists, options=use)) is (of_g3.serial not in expected)
    for authority in (g2, g3):
        world.crls.publish(authority.slug)
        assert world.check(authority.slug).faults == []
    shards = [world.shard(number, slug) for slug in ("citizen-g2", "citizen-g3") for number in (0, 1)]
    assert [bool(serials(shard)) for shard in shards] == [False, False, True, True]
    for of_g3, of_g2 in pairs:
        assert is_good(verified(world, of_g2, tmp_path, *shards, options=("-extended_crl",)))
        said = verified(world, of_g3, tmp_path, *shards, options=("-extended_crl",))
        assert is_good(said) is (of_g3.serial not in expected)


def test_nss_takes_the_complete_list_and_refuses_what_is_on_it(world: CrlWorld, tmp_path: Path) -> None:
    g3 = world.pki.g3
    revoked, good = world.issue(g3), world.issue(g3)
    world.revoke(revoked)
    world.crls.publish(g3.slug)
    store = f"sql:{tmp_path}"
    certutil, crlutil = required_program("certutil"), required_program("crlutil")
    run([certutil, "-N", "-d", store, "--empty-password"])
    names: list[tuple[str, Authority | IssuedCertificate, str]] = [
        ("root", world.pki.root, "CT,C,C"),
        ("g3", g3, ",,"),
        ("revoked", revoked, ",,"),
        ("good", good, ",,"),
    ]
    for name, item, trust in names:
        path = tmp_path / f"{name}.der"
        path.write_bytes(item.certificate.public_bytes(Encoding.DER))
        run([certutil, "-A", "-d", store, "-n", name, "-t", trust, "-i", path])
    path = tmp_path / "complete.crl"
    path.write_bytes(world.complete().public_bytes(Encoding.DER))
    run([crlutil, "-I", "-d", store, "-t", "1", "-i", path])
    at = f"{world.clock():%y%m%d%H%M%SZ}"
    said = {}
    for name in ("revoked", "good"):
        done = run([certutil, "-V", "-d", store, "-n", name, "-u", "C", "-b", at, "-e"], check=False)
        said[name] = done.stdout + done.stderr
    assert "revoked" in said["revoked"]
    assert "certificate is valid" in said["good"]


def test_a_list_that_is_past_its_next_update_is_overdue(world: CrlWorld, clock: FakeClock) -> None:
    authorities = world.pki.authorities
    crl_overdue(world.archive, authorities, clock)
    world.crls.publish_due()
    clock.advance(3 * 3600 - 5)
    crl_overdue(world.archive, authorities, clock)
    clock.advance(5)
    with pytest.raises(CrlOverdue, match=r"citizen-g2 delta since .*, citizen-g3 delta"):
        crl_overdue(world.archive, authorities, clock)
    world.crls.publish_due()
    crl_overdue(world.archive, authorities, clock)
    clock.advance(22 * 3600)
    with pytest.raises(CrlOverdue, match="root-g1 complete"):
        crl_overdue(world.archive, authorities, clock)
