"""Keys in an HSM, through PKCS#11."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from asn1crypto.core import OctetString
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, Session, exceptions
from pkcs11.types import PublicKey as TokenPublicKey
from pkcs11.util.ec import encode_named_curve_parameters

from ca_core.kernel.errors import ConfigurationError, Unavailable
from ca_core.keys.errors import KeyAlgorithmRefused, KeyExists, KeyNotFound, KeyStoreFault
from ca_core.keys.hsm_keys import HsmEcPrivateKey, HsmRsaPrivateKey, verify_raw_signature
from ca_core.keys.model import (
    CURVES,
    PUBLIC_EXPONENT,
    RSA_SIZES,
    KeyAlgorithm,
    KeyStoreHealth,
    PrivateKey,
    key_algorithm_of,
    key_identifier,
    spki_octets,
    verify_label,
)
from ca_core.keys.pkcs11_connection import TokenConnection
from ca_core.keys.pkcs11_module import Seat

TokenPrivateKey = Any
"""python-pkcs11 mixes the abilities of a key in at run time, where its types do not show them."""

PublicHalf = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
"""The keys that tokens have."""

_CURVE_NAMES = {KeyAlgorithm.P_256: "secp256r1", KeyAlgorithm.P_384: "secp384r1"}
_CURVE_OF_PARAMETERS = {encode_named_curve_parameters(name): CURVES[a] for a, name in _CURVE_NAMES.items()}
_Template = dict[Attribute, bool | bytes | str | ObjectClass]
_SIGN_ONLY: _Template = {
    Attribute.TOKEN: True,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_VERIFY_ONLY: _Template = {
    Attribute.TOKEN: True,
    Attribute.VERIFY: True,
    Attribute.ENCRYPT: False,
    Attribute.WRAP: False,
    Attribute.DERIVE: False,
}
_NOT_FOR_EC = (Attribute.DECRYPT, Attribute.UNWRAP, Attribute.ENCRYPT, Attribute.WRAP)


class Pkcs11KeyStore:
    """Keys that are made in a token, never leave it, and do nothing but sign. CKA_ID is the public key's SHA-1.

    Safe among threads, which sign at one time in sessions of their own. A token that went away is looked for again at
    the next use.
    """

    def __init__(self, module: Path, token_label: str, pin: str) -> None:
        self._connection = TokenConnection(module, token_label, pin)
        self._keys: dict[str, PrivateKey] = {}
        self._epoch = self._connection.epoch
        self._generating = threading.Lock()

    def generate(self, label: str, algorithm: KeyAlgorithm) -> PrivateKey:
        """Makes a key pair in the token. Raises: KeyLabelRefused, KeyAlgorithmRefused, KeyExists, Unavailable.

        The label is set last, so that a pair that was left half made is found by nobody.
        """
        verify_label(label)
        if algorithm.is_ml_dsa:
            raise KeyAlgorithmRefused("PKCS#11 modules do not know ML-DSA yet: those keys are software keys")
        if self._connection.run(lambda seat: _private_keys(seat.session, label)):
            raise KeyExists(label)

        def operation(seat: Seat) -> None:
            with self._generating:  # held within a call alone, so that no fork finds it taken
                _generate(seat.session, label, algorithm)

        self._connection.run_once(operation)
        return self.private_key(label)

    def private_key(self, label: str) -> PrivateKey:
        """The key of that label. Raises: KeyLabelRefused, KeyNotFound, KeyStoreFault, Unavailable."""
        verify_label(label)

        def operation(seat: Seat) -> PrivateKey:
            self._forget_if_restarted()
            key = self._keys.get(label)
            if key is None:
                key = self._keys[label] = self._signing_key(_verified_public_key(seat.session, label))
            return key

        return self._connection.run(operation)

    def health(self, *, probe: bool = False) -> KeyStoreHealth:
        """How the token answered so far; with `probe`, after it was asked for a few random octets. Never raises."""
        if probe:
            with suppress(Unavailable, ConfigurationError, KeyStoreFault):
                self._connection.run(lambda seat: seat.session.generate_random(64))
        return self._connection.health()

    def _signing_key(self, public_key: PublicHalf) -> PrivateKey:
        identifier = key_identifier(public_key)
        if isinstance(public_key, rsa.RSAPublicKey):
            return HsmRsaPrivateKey(public_key, lambda data: self._sign(identifier, public_key, data))
        return HsmEcPrivateKey(public_key, lambda data: self._sign(identifier, public_key, data))

    def _sign(self, identifier: bytes, public_key: PublicHalf, data: bytes) -> bytes:
        """By a handle that was found by CKA_ID beside that public key, and whose first signature verified under it."""
        mechanism = Mechanism.RSA_PKCS if isinstance(public_key, rsa.RSAPublicKey) else Mechanism.ECDSA

        def operation(seat: Seat) -> bytes:
            handle = seat.handles.get(identifier)
            if handle is not None:
                signature: bytes = handle.sign(data, mechanism=mechanism)
                return signature
            handle = _resolved(seat.session, identifier, public_key)
            signature = handle.sign(data, mechanism=mechanism)
            verify_raw_signature(public_key, data, signature)
            seat.handles[identifier] = handle
            return signature

        return self._connection.run(operation)

    def _forget_if_restarted(self) -> None:
        """Drops what was found in the token before it went away. Within an operation, where no epoch ends."""
        if self._epoch != self._connection.epoch:
            self._keys.clear()
            self._epoch = self._connection.epoch


def _search(session: Session, wanted: _Template) -> list[Any]:
    """The token's objects with those attributes.

    A void session is met by a call that fails plainly: python-pkcs11's search, when it cannot begin, fails once more
    when it is collected.
    """
    session.generate_random(64)
    return list(session.get_objects(wanted))


def _private_keys(session: Session, label: str) -> list[TokenPrivateKey]:
    wanted: _Template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: label}
    return _search(session, wanted)


def _resolved(session: Session, identifier: bytes, public_key: PublicHalf) -> TokenPrivateKey:
    """The private key with that CKA_ID, if its public half in the token is the one meant. Raises: KeyStoreFault."""
    wanted: _Template = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: identifier}
    found = _search(session, wanted)
    if len(found) != 1:
        raise KeyStoreFault(f"{len(found)} private keys have the identifier {identifier.hex()}")
    halves = _search(session, {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: identifier})
    if len(halves) != 1 or spki_octets(_public_key(halves[0])) != spki_octets(public_key):
        raise KeyStoreFault(f"the public key with the identifier {identifier.hex()} is another one")
    return found[0]


def _generate(session: Session, label: str, algorithm: KeyAlgorithm) -> None:
    if _private_keys(session, label):  # made by another thread meanwhile
        raise KeyExists(label)
    public_template, private_template = dict(_VERIFY_ONLY), dict(_SIGN_ONLY)
    if algorithm in RSA_SIZES:
        public_template[Attribute.PUBLIC_EXPONENT] = PUBLIC_EXPONENT.to_bytes(3, "big")
        public, private = session.generate_keypair(
            KeyType.RSA,
            RSA_SIZES[algorithm],
            store=True,
            public_template=public_template,
            private_template=private_template,
        )
    else:
        for attribute in _NOT_FOR_EC:
            public_template.pop(attribute, None)
            private_template.pop(attribute, None)
        parameters = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE_NAMES[algorithm])}, local=True
        )
        public, private = parameters.generate_keypair(
            store=True, public_template=public_template, private_template=private_template
        )
    identifier = key_identifier(_public_key(public))
    public[Attribute.ID] = identifier
    public[Attribute.LABEL] = label
    private[Attribute.ID] = identifier
    private[Attribute.LABEL] = label
    if len(_private_keys(session, label)) != 1:  # another process was as fast: both give way
        private.destroy()
        public.destroy()
        raise KeyExists(label)


def _verified_public_key(session: Session, label: str) -> PublicHalf:
    """The public half of the one key with that label, after its attributes were looked at. Raises as `private_key`."""
    found = _private_keys(session, label)
    if not found:
        raise KeyNotFound(label)
    if len(found) > 1:
        raise KeyStoreFault(f"{label}: {len(found)} private keys have that label")
    private = found[0]
    if not private[Attribute.SENSITIVE] or private[Attribute.EXTRACTABLE]:
        raise KeyStoreFault(f"{label}: the key can be read out of the token")
    wanted: _Template = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: private[Attribute.ID]}
    public = _search(session, wanted)
    if len(public) != 1:
        raise KeyStoreFault(f"{label}: {len(public)} public keys belong to it")
    public_key = _public_key(public[0])
    if private[Attribute.ID] != key_identifier(public_key):
        raise KeyStoreFault(f"{label}: CKA_ID is not the public key's SHA-1")
    return public_key


def _public_key(key: TokenPublicKey) -> PublicHalf:
    """A token's public key in cryptography's form. Raises: KeyStoreFault, KeyAlgorithmRefused."""
    try:
        if key.key_type is KeyType.RSA:
            modulus = int.from_bytes(key[Attribute.MODULUS], "big")
            exponent = int.from_bytes(key[Attribute.PUBLIC_EXPONENT], "big")
            found: PublicHalf = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        else:
            curve = _CURVE_OF_PARAMETERS[key[Attribute.EC_PARAMS]]()
            point = OctetString.load(key[Attribute.EC_POINT]).native
            found = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except (ValueError, KeyError, exceptions.AttributeTypeInvalid) as error:
        raise KeyStoreFault("a public key in the token cannot be read") from error
    key_algorithm_of(found)
    return found
