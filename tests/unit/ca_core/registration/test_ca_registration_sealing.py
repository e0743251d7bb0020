"""National IDs at rest: encrypted under rotating keys, bound to their person, looked up by a keyed hash."""

import pytest

from ca_core.kernel.errors import ConfigurationError
from ca_core.registration import NationalId, NationalIdKeys, NationalIdUnreadable, SealedNationalId
from support.fakes import SeededRng

OLD, NEW, LOOKUP = (bytes([number]) * 32 for number in (1, 2, 3))
ID = NationalId("A123456789")


def test_it_reads_back_for_its_own_person_only(rng: SeededRng) -> None:
    keys = NationalIdKeys({"old": OLD}, "old", LOOKUP)
    sealed = keys.seal(ID, "person-1", rng)
    assert keys.unseal(sealed, "person-1") == ID
    with pytest.raises(NationalIdUnreadable):
        keys.unseal(sealed, "person-2")


def test_no_two_seals_are_equal_and_none_shows_it(rng: SeededRng) -> None:
    keys = NationalIdKeys({"old": OLD}, "old", LOOKUP)
    seals = {keys.seal(ID, "person-1", rng).octets for _ in range(20)}
    assert len(seals) == 20
    assert {len(octets) for octets in seals} == {12 + 10 + 16}
    assert not any(b"123456789" in octets for octets in seals)


def test_every_octet_counts(rng: SeededRng) -> None:
    keys = NationalIdKeys({"old": OLD}, "old", LOOKUP)
    octets = keys.seal(ID, "person-1", rng).octets
    for place in range(len(octets)):
        altered = octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :]
        with pytest.raises(NationalIdUnreadable):
            keys.unseal(SealedNationalId(key_id="old", octets=altered), "person-1")
    for length in (0, 11, 12, 27, 37):
        with pytest.raises(NationalIdUnreadable):
            keys.unseal(SealedNationalId(key_id="old", octets=octets[:length]), "person-1")


def test_old_keys_read_and_the_current_one_seals(rng: SeededRng) -> None:
    sealed = NationalIdKeys({"old": OLD}, "old", LOOKUP).seal(ID, "person-1", rng)
    rotated = NationalIdKeys({"old": OLD, "new": NEW}, "new", LOOKUP)
    assert rotated.unseal(sealed, "person-1") == ID
    assert rotated.seal(ID, "person-1", rng).key_id == "new"
    with pytest.raises(NationalIdUnreadable, match="old"):
        NationalIdKeys({"new": NEW}, "new", LOOKUP).unseal(sealed, "person-1")


def test_the_lookup_is_the_same_for_equal_ids_and_another_under_another_key() -> None:
    keys = NationalIdKeys({"old": OLD}, "old", LOOKUP)
    assert keys.lookup(ID) == keys.lookup(NationalId.parse("a123456789"))
    assert keys.lookup(ID) != keys.lookup(NationalId("F131104093"))
    assert keys.lookup(ID) != NationalIdKeys({"old": OLD}, "old", bytes(32)).lookup(ID)


def test_keys_that_cannot_be_meant() -> None:
    for encryption, current, lookup in (
        ({}, "old", LOOKUP),
        ({"old": OLD}, "new", LOOKUP),
        ({"old": OLD[:-1]}, "old", LOOKUP),
        ({"old": OLD}, "old", LOOKUP[:-1]),
        ({"old": OLD}, "old", OLD),
        ({"old": OLD, "new": OLD}, "new", LOOKUP),
    ):
        with pytest.raises(ConfigurationError):
            NationalIdKeys(encryption, current, lookup)
