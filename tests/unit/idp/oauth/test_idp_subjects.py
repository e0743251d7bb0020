"""Pairwise subjects and session ids."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest

from ca_core.kernel.errors import ConfigurationError
from idp.oauth.subjects import PairwiseSubjects

SUBJECTS = PairwiseSubjects(b"s" * 32)


def test_the_formula() -> None:
    mac = hmac.new(b"s" * 32, b"rp.example\x00person-1", sha256).digest()
    assert SUBJECTS.sub("rp.example", "person-1") == urlsafe_b64encode(mac).rstrip(b"=").decode()


def test_no_two_inputs_meet() -> None:
    values = {
        SUBJECTS.sub("rp.example", "person-1"),
        SUBJECTS.sub("rp.example", "person-2"),
        SUBJECTS.sub("other.example", "person-1"),
        SUBJECTS.sub("rp.exampleperson", "-1"),
        SUBJECTS.sid("rp.example", "person-1"),
        SUBJECTS.sid("sid", "rp.example\x00person-1"),
        PairwiseSubjects(b"t" * 32).sub("rp.example", "person-1"),
    }
    assert len(values) == 7
    assert all(len(value) == 43 for value in values)


def test_a_short_secret_stops_the_start() -> None:
    with pytest.raises(ConfigurationError):
        PairwiseSubjects(b"s" * 31)
