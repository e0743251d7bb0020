"""The token's signature against an independent construction, and what parsing leaves out."""

from base64 import b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from idp.authn.card.errors import TokenAlgorithmMismatch, TokenBindingMismatch, TokenMalformed
from idp.authn.card.web_eid import TokenAlgorithm, UnverifiedToken, parse_token, verify_signature
from support.card_login import Card, rsa_key

ORIGIN = "https://login.example"
NONCE = "dGhpcyBpcyBhIG5vbmNlIG9mIDMyIG9jdGV0cyEhISE="
MEMBERS = {
    "unverifiedCertificate": b64encode(b"DER").decode(),
    "algorithm": "ES256",
    "signature": b64encode(bytes(64)).decode(),
    "format": "web-eid:1.0",
    "appVersion": "x",
}


def parsed(card: Card, **options: str) -> UnverifiedToken:
    return parse_token(card.token(NONCE, origin=ORIGIN, **options))


@pytest.mark.parametrize("curve, algorithm", [(ec.SECP256R1(), "ES256"), (ec.SECP384R1(), "ES384")])
def test_elliptic_keys_sign_with_their_own_algorithm_only(curve: ec.EllipticCurve, algorithm: str) -> None:
    card = Card(ec.generate_private_key(curve), b"DER")
    token = parsed(card)
    assert token.algorithm == algorithm
    verify_signature(token, card.key.public_key(), origin=ORIGIN, challenge_nonce=NONCE)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_rsa_keys(algorithm: str) -> None:
    card = Card(rsa_key(), b"DER")
    verify_signature(parsed(card, algorithm=algorithm), card.key.public_key(), origin=ORIGIN, challenge_nonce=NONCE)


def test_hash_of_the_concatenation_is_not_the_concatenation_of_hashes() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    r, s = decode_dss_signature(key.sign((ORIGIN + NONCE).encode(), ec.ECDSA(SHA256())))
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    token = UnverifiedToken(
        unverified_certificate=b"", algorithm=TokenAlgorithm.ES256, signature=signature, app_version=""
    )
    with pytest.raises(TokenBindingMismatch):
        verify_signature(token, key.public_key(), origin=ORIGIN, challenge_nonce=NONCE)


def test_origin_and_nonce_cannot_be_moved_into_each_other() -> None:
    card = Card(ec.generate_private_key(ec.SECP256R1()), b"DER")
    token = parsed(card)
    with pytest.raises(TokenBindingMismatch):
        verify_signature(token, card.key.public_key(), origin=ORIGIN + NONCE[:1], challenge_nonce=NONCE[1:])
    with pytest.raises(TokenBindingMismatch):
        verify_signature(token, card.key.public_key(), origin=NONCE, challenge_nonce=ORIGIN)


def test_the_signed_octets_are_those_of_the_specification() -> None:
    card = Card(ec.generate_private_key(ec.SECP256R1()), b"DER")
    signature = parsed(card).signature
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    octets = sha256(ORIGIN.encode()).digest() + sha256(NONCE.encode()).digest()
    public_key = card.key.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    public_key.verify(der, octets, ec.ECDSA(SHA256()))


@pytest.mark.parametrize("algorithm", list(TokenAlgorithm))
def test_keys_of_other_kinds(algorithm: TokenAlgorithm) -> None:
    others: list[object] = [
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
        rsa.generate_private_key(65537, 1024).public_key(),  # noqa: S505 - too small, and must be refused
        None,
        rsa_key(),
    ]
    token = UnverifiedToken(unverified_certificate=b"", algorithm=algorithm, signature=bytes(64), app_version="")
    for key in others:
        with pytest.raises(TokenAlgorithmMismatch):
            verify_signature(token, key, origin=ORIGIN, challenge_nonce=NONCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "web-eid:2"},
        {"format": "web-eid:10"},
        {"format": "web-eid:1."},
        {"format": "web-eid:1.0\n"},
        {"format": "WEB-EID:1.0"},
        {"format": ""},
        {"signature": ""},
        {"signature": "AA"},
        {"signature": "AB=="},
        {"signature": "AA==AA=="},
        {"signature": "-_=="},
        {"unverifiedCertificate": "MII\n"},
        {"unverifiedCertificate": "===="},
        {"appVersion": "x" * 256},
        {"appVersion": "new\nline"},
        {"appVersion": "é"},
    ],
)
def test_malformed_tokens(changes: dict[str, str]) -> None:
    parse_token(MEMBERS)
    with pytest.raises(TokenMalformed):
        parse_token(MEMBERS | changes)
