"""The authority's signature over exactly the recorded octets."""

from asn1crypto.x509 import TbsCertificate
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from ca_core.issuance.draft import signature_hash
from ca_core.issuance.errors import IssuanceFault
from ca_core.keys.model import PrivateKey, PublicKey, spki_octets

_SEQUENCE, _BIT_STRING = 0x30, 0x03


def sign_tbs(tbs: bytes, key: PrivateKey) -> bytes:
    """The signature value over a TBSCertificate."""
    hash_algorithm = signature_hash(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(tbs, PKCS1v15(), hash_algorithm)
    return key.sign(tbs, ec.ECDSA(hash_algorithm))


def assemble(tbs: bytes, signature: bytes) -> bytes:
    """The certificate in DER; its algorithm is the one that the TBSCertificate names."""
    algorithm: bytes = TbsCertificate.load(tbs)["signature"].dump()
    return _tlv(_SEQUENCE, tbs + algorithm + _tlv(_BIT_STRING, b"\x00" + signature))


def verify_certificate(der: bytes, *, tbs: bytes, serial: int, public_key: PublicKey) -> x509.Certificate:
    """The certificate, read back: those octets, that serial, and a signature that verifies under the authority's key.

    Raises: IssuanceFault.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        if certificate.tbs_certificate_bytes != tbs or certificate.serial_number != serial:
            raise IssuanceFault("the certificate does not hold the octets of its intent")
        if isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(certificate.signature, tbs, PKCS1v15(), signature_hash(public_key))
        else:
            public_key.verify(certificate.signature, tbs, ec.ECDSA(signature_hash(public_key)))
    except (ValueError, InvalidSignature) as error:
        raise IssuanceFault("the authority's signature does not verify") from error
    return certificate


def verify_same_key(key: PrivateKey, public_key: PublicKey) -> None:
    """The key store gave the key that the authority's certificate names. Raises: IssuanceFault."""
    if spki_octets(key.public_key()) != spki_octets(public_key):
        raise IssuanceFault("the key store holds another key under the authority's label")


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
