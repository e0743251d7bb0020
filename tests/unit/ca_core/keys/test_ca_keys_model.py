"""Names and algorithms of keys."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ca_core.keys import KeyAlgorithm, key_algorithm_of, key_digest, key_identifier
from ca_core.keys.errors import KeyAlgorithmRefused
from ca_core.keys.model import public_key_bits, spki_octets
from support.pki import new_key


@pytest.mark.parametrize("algorithm", [KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256, KeyAlgorithm.P_384])
def test_a_key_has_its_algorithm_and_its_names(algorithm: KeyAlgorithm) -> None:
    key = new_key(algorithm)
    public = key.public_key()
    assert key_algorithm_of(key) is key_algorithm_of(public) is algorithm
    assert isinstance(public, RSAPublicKey | EllipticCurvePublicKey)
    assert algorithm.size_bits == public.key_size
    assert key_identifier(public) == x509.SubjectKeyIdentifier.from_public_key(public).digest
    assert spki_octets(public).endswith(public_key_bits(public))
    assert len(key_digest(public)) == 64


def test_other_keys_have_no_algorithm() -> None:
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is to be refused
    for key in (small, ec.generate_private_key(ec.SECP521R1())):
        with pytest.raises(KeyAlgorithmRefused):
            key_algorithm_of(key)
