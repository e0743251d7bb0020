"""Which shard a certificate belongs to."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ca_core.crl_shards import ShardLayout, shard_named_by
from support.small_pki import SmallPki

PKI = SmallPki()


def layout(first: int, count: int, url: str = "http://pki.example.tw/pki") -> ShardLayout:
    return ShardLayout(
        authority_id=3,
        generation=1,
        first=first,
        count=count,
        slug="citizen-g3",
        publication_url=url,
        introduced_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


@given(st.integers(1, (1 << 127) - 1), st.integers(0, 900), st.integers(1, 100))
def test_every_serial_has_one_shard_of_its_layout(serial: int, first: int, count: int) -> None:
    made = layout(first, count)
    shard = made.shard_of(serial)
    assert shard.number in made.numbers
    assert shard == made.shard(shard.number)


@pytest.mark.parametrize(
    ("uris", "expected"),
    [
        ([layout(16, 4).shard(17).uri, "http://pki.example.tw/pki/crl/citizen-g3.crl"], 17),
        ([layout(0, 4, "https://x.tw:8443/a/b").shard(0).uri], 0),
        (["http://pki.example.tw/pki/crl/citizen-g3.crl"], None),
        (["http://pki.example.tw/pki/crl/citizen-g3.crl", layout(0, 4).shard(2).uri], None),
        (["http://moica.nat.gov.tw/repository/MOICA/CRL2/0017.crl"], None),
        (["http://pki.example.tw/pki/crl/citizen-g3/017.crl"], None),
        (["http://pki.example.tw/pki?/crl/citizen-g3/17.crl"], None),
    ],
)
def test_the_shard_that_a_certificate_names(uris: list[str], expected: int | None) -> None:
    points = x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(uri)], None, None, None) for uri in uris]
    )
    issued = PKI.issue(PKI.g3, extra=((points, False),))
    assert shard_named_by(issued.certificate) == expected


def test_a_certificate_without_distribution_points_names_none() -> None:
    assert shard_named_by(PKI.issue(PKI.g3).certificate) is None
