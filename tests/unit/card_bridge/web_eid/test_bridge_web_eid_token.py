"""The token, checked the way a server checks it: from its own origin and nonce."""

import hashlib
from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from card_bridge.piv.model import SignatureAlgorithm
from card_bridge.web_eid.errors import KeyUnsupported, NonceMalformed
from card_bridge.web_eid.model import algorithm_for, authentication_digest, parse_nonce
from card_bridge.web_eid.origin import Origin
from card_bridge.web_eid.service import sign_authentication
from support.bridge_fakes import FakeCard, self_signed

ORIGIN = Origin("https://id.example.tw")
NONCE = b64encode(bytes(range(32))).decode()


def verify(token: dict[str, str], origin: str, nonce: str) -> None:
    key = x509.load_der_x509_certificate(b64decode(token["unverifiedCertificate"])).public_key()
    name = {"ES384": "sha384"}.get(token["algorithm"], "sha256")
    octets = hashlib.new(name, origin.encode()).digest() + hashlib.new(name, nonce.encode()).digest()
    signature = b64decode(token["signature"])
    hash_algorithm = hashes.SHA384() if name == "sha384" else hashes.SHA256()
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, octets, PKCS1v15(), hash_algorithm)
        return
    assert isinstance(key, ec.EllipticCurvePublicKey)
    half = len(signature) // 2
    assert len(signature) == key.key_size // 4
    r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
    key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(hash_algorithm))


KEYS: dict[str, Any] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_a_server_verifies_the_token(algorithm: str) -> None:
    card = FakeCard(key=KEYS[algorithm]())
    card.verify_pin(bytearray(b"123456"))
    token = sign_authentication(card, certificate=card.der, origin=ORIGIN, challenge_nonce=NONCE).to_wire()
    assert list(token) == ["unverifiedCertificate", "algorithm", "signature", "format", "appVersion"]
    assert (token["algorithm"], token["format"]) == (algorithm, "web-eid:1.0")
    verify(token, ORIGIN, NONCE)
    for origin, nonce in (("https://evil.example.tw", NONCE), (ORIGIN, b64encode(bytes(32)).decode())):
        with pytest.raises(InvalidSignature):
            verify(token, origin, nonce)


def test_the_digest_is_over_the_two_digests_and_not_over_the_texts() -> None:
    expected = hashlib.sha256(
        hashlib.sha256(ORIGIN.encode()).digest() + hashlib.sha256(NONCE.encode()).digest()
    ).digest()
    assert authentication_digest(ORIGIN, NONCE, SignatureAlgorithm.ES256) == expected
    moved = authentication_digest(Origin(ORIGIN + NONCE[:1]), NONCE[1:], SignatureAlgorithm.ES256)
    assert moved != expected


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP521R1()), ec.generate_private_key(ec.SECP256K1())],
)
def test_keys_without_an_algorithm_are_refused(key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(KeyUnsupported):
        algorithm_for(self_signed(key))


def test_what_is_no_certificate_is_refused() -> None:
    for octets in (b"", b"\x30\x00", ed25519.Ed25519PrivateKey.generate().private_bytes_raw()):
        with pytest.raises(KeyUnsupported):
            algorithm_for(octets)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_nonces_of_256_bits_or_more(size: int) -> None:
    text = b64encode(bytes(size)).decode()
    assert parse_nonce(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A" * 40,
        b64encode(bytes(31)).decode(),
        b64encode(bytes(97)).decode(),
        NONCE[:-1],
        NONCE + "=",
        NONCE[:-2] + "9=",
        NONCE.replace("+", "-").replace("/", "_")[:-1] + "_",
        " " + NONCE[1:],
        NONCE[:-1] + "\n",
        "é" * 44,
    ],
)
def test_other_nonces_are_refused(text: str) -> None:
    with pytest.raises(NonceMalformed):
        parse_nonce(text)
