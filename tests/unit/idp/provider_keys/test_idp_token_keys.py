"""Token keys: what they sign, what they recognise, and how they are loaded."""

import json
from base64 import urlsafe_b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from ca_core.kernel.errors import ConfigurationError
from ca_core.keys.errors import KeyExists, KeyNotFound
from ca_core.keys.model import KeyAlgorithm, PrivateKey
from idp.oauth.algorithms import SigningAlgorithm
from idp.provider_keys.errors import NotOurToken
from idp.provider_keys.hints import IdTokenHints
from idp.provider_keys.loading import load_token_keys, make_token_keys
from idp.provider_keys.service import TokenKeys, key_id

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
KEYS = TokenKeys(P256, RSA)
ISSUER = "https://id.example"
CLAIMS = {"iss": ISSUER, "aud": "rp", "sub": "s", "sid": "x"}


@pytest.mark.parametrize("algorithm", list(SigningAlgorithm))
def test_what_is_signed_is_recognised(algorithm: SigningAlgorithm) -> None:
    assert KEYS.verify(KEYS.sign(CLAIMS, algorithm)) == CLAIMS


def test_a_retired_key_is_recognised_and_published_but_signs_nothing() -> None:
    new = TokenKeys(ec.generate_private_key(ec.SECP256R1()), RSA, retired=(P256.public_key(),))
    assert new.verify(KEYS.sign(CLAIMS, SigningAlgorithm.ES256)) == CLAIMS
    assert key_id(P256.public_key()) in {key["kid"] for key in new.jwks()["keys"]}
    with pytest.raises(NotOurToken):
        KEYS.verify(new.sign(CLAIMS, SigningAlgorithm.ES256))


def test_a_statement_key_is_published_and_never_recognised() -> None:
    """One key, one purpose: a signature by it is no ID token."""
    statement_key = ec.generate_private_key(ec.SECP256R1())
    kid = key_id(statement_key.public_key())
    assert kid in {key["kid"] for key in KEYS.jwks(statement_key.public_key())["keys"]}
    forged = jwt.encode({"alg": "ES256", "kid": kid}, CLAIMS, ECKey.import_key(statement_key))
    with pytest.raises(NotOurToken):
        KEYS.verify(forged)


def test_algorithm_confusion() -> None:
    """RFC 8725 s2.1: an RSA public key is no HMAC secret, and none is no algorithm."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kid = key_id(RSA.public_key())
    confused = jwt.encode({"alg": "HS256", "kid": kid}, CLAIMS, OctKey.import_key(pem.hex().encode()))
    header = urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    payload = confused.split(".")[1]
    for token in (confused, f"{header}.{payload}.", f"{header}.{payload}.x"):
        with pytest.raises(NotOurToken):
            KEYS.verify(token)


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "a.b.c.d.e", "{}", "x" * 16_385, "\u8eab.b.c", "e30.e30.e30"]
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(NotOurToken):
        KEYS.verify(token)


def test_hints_are_id_tokens_of_this_issuer() -> None:
    hints = IdTokenHints(KEYS, ISSUER)
    hint = hints.read(KEYS.sign(CLAIMS, SigningAlgorithm.ES256))
    assert (hint.client_id, hint.sub, hint.sid) == ("rp", "s", "x")
    for changes in ({"iss": "https://other.example"}, {"aud": ["rp"]}, {"aud": None}, {"sub": 1}):
        with pytest.raises(NotOurToken):
            hints.read(KEYS.sign({**CLAIMS, **changes}, SigningAlgorithm.ES256))


def test_weak_or_wrong_keys_stop_the_start() -> None:
    with pytest.raises(ConfigurationError):
        TokenKeys(ec.generate_private_key(ec.SECP384R1()), RSA)
    with pytest.raises(ConfigurationError):
        TokenKeys(P256, rsa.generate_private_key(65537, 1024))  # noqa: S505 - weak on purpose


class Store:
    """A key store in memory."""

    def __init__(self, *, loses_race: bool = False) -> None:
        self.keys: dict[str, PrivateKey] = {}
        self.loses_race = loses_race

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        made: PrivateKey = RSA if algorithm.is_rsa else ec.generate_private_key(ec.SECP256R1())
        self.keys[label] = made
        if self.loses_race:
            raise KeyExists
        return made

    def private_key(self, label: str) -> PrivateKey:
        if label not in self.keys:
            raise KeyNotFound
        return self.keys[label]


@pytest.mark.parametrize("loses_race", [False, True])
def test_keys_are_made_once(loses_race: bool) -> None:
    store = Store(loses_race=loses_race)
    with pytest.raises(KeyNotFound):
        load_token_keys(store)
    made = make_token_keys(store)
    assert make_token_keys(store).jwks() == load_token_keys(store).jwks() == made.jwks()


def test_keys_under_the_wrong_label_are_refused() -> None:
    store = Store()
    store.keys = {"token-es256": RSA, "token-rs256": P256}
    with pytest.raises(ConfigurationError):
        load_token_keys(store)
