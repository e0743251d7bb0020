"""Private keys of a virtual card: made, kept as PKCS#8, used. In software, so nothing here resists a lab."""

from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from card_bridge.apdu import status, tlv
from card_bridge.piv.model import AlgorithmReference
from card_bridge.virtual.refusal import Refused

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES: Final = {AlgorithmReference.P_256: ec.SECP256R1, AlgorithmReference.P_384: ec.SECP384R1}
_HASHES: Final = {AlgorithmReference.P_256: SHA256, AlgorithmReference.P_384: SHA384}
PUBLIC_EXPONENT: Final = 65_537


def generate(algorithm: int) -> PrivateKey:
    """A new key. Raises: Refused (6A80) for an algorithm that this card lacks."""
    if algorithm == AlgorithmReference.RSA_2048:
        return rsa.generate_private_key(PUBLIC_EXPONENT, 2048)
    return ec.generate_private_key(_curve(algorithm))


def algorithm_of(key: PrivateKey) -> AlgorithmReference:
    if isinstance(key, rsa.RSAPrivateKey):
        return AlgorithmReference.RSA_2048
    return AlgorithmReference.P_256 if key.curve.key_size == 256 else AlgorithmReference.P_384


def public_objects(key: PrivateKey) -> bytes:
    """The public key as data objects: 81 n and 82 e, or 86 Q."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        return tlv.encode(0x81, numbers.n.to_bytes(256, "big")) + tlv.encode(0x82, numbers.e.to_bytes(3, "big"))
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return tlv.encode(0x86, point)


def private_operation(key: PrivateKey, block: bytes) -> bytes:
    """RSA's private exponentiation, or an ECDSA signature in DER over a digest of the curve's size or shorter.

    Raises: Refused (6700 for a wrong length, 6A80 for a number beyond the modulus).
    """
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        modulus, value = numbers.public_numbers.n, int.from_bytes(block, "big")
        if len(block) != 256:
            raise Refused(status.WRONG_LENGTH)
        if value >= modulus:
            raise Refused(status.INCORRECT_DATA)
        return pow(value, numbers.d, modulus).to_bytes(256, "big")
    size = key.curve.key_size // 8
    if not 0 < len(block) <= size:
        raise Refused(status.WRONG_LENGTH)
    digest = block.rjust(size, b"\x00")
    return key.sign(digest, ec.ECDSA(Prehashed(_HASHES[algorithm_of(key)]())))


def agree(key: PrivateKey, point: bytes) -> bytes:
    """The x coordinate of ECDH. Raises: Refused (6A80) for an RSA key or what is no point of the curve."""
    if isinstance(key, rsa.RSAPrivateKey):
        raise Refused(status.INCORRECT_DATA)
    try:
        peer = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point)
    except ValueError as error:
        raise Refused(status.INCORRECT_DATA) from error
    return key.exchange(ec.ECDH(), peer)


def import_rsa(p: int, q: int) -> PrivateKey:
    """A key from its primes, as the vendor's import command brings it. Raises: Refused (6A80)."""
    try:
        n, d = p * q, pow(PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(PUBLIC_EXPONENT, n)
        dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        key = rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key()
    except (ValueError, ZeroDivisionError) as error:
        raise Refused(status.INCORRECT_DATA) from error
    if key.key_size != 2048:
        raise Refused(status.INCORRECT_DATA)
    return key


def import_ec(algorithm: int, scalar: int) -> PrivateKey:
    """A key from its scalar. Raises: Refused (6A80)."""
    try:
        return ec.derive_private_key(scalar, _curve(algorithm))
    except ValueError as error:
        raise Refused(status.INCORRECT_DATA) from error


def to_pkcs8(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_pkcs8(der: bytes) -> PrivateKey:
    """Raises: ValueError for what is no key of this card."""
    key = serialization.load_der_private_key(der, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("a key of another kind")
    return key


def _curve(algorithm: int) -> ec.EllipticCurve:
    try:
        return _CURVES[AlgorithmReference(algorithm)]()
    except (KeyError, ValueError) as error:
        raise Refused(status.INCORRECT_DATA) from error
