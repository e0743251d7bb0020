"""The authority's signature over exactly the recorded octets."""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from ca_core.issuance import der
from ca_core.issuance.draft import signature_hash
from ca_core.issuance.errors import IssuanceFault
from ca_core.keys.model import MlDsaPrivateKey, MlDsaPublicKey, PrivateKey, PublicKey, spki_octets


def sign_tbs(tbs: bytes, key: PrivateKey) -> bytes:
    """The signature value over a TBSCertificate."""
    hash_algorithm = signature_hash(key.public_key())
    if isinstance(key, MlDsaPrivateKey):
        return key.sign(tbs)
    if hash_algorithm is None:
        raise IssuanceFault("a key without a hash")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(tbs, PKCS1v15(), hash_algorithm)
    return key.sign(tbs, ec.ECDSA(hash_algorithm))


def assemble(tbs: bytes, signature: bytes) -> bytes:
    """The certificate in DER; its algorithm is the one that the TBSCertificate names."""
    algorithm = der.children(der.contents(tbs, der.SEQUENCE))[2]
    return der.tlv(der.SEQUENCE, tbs + algorithm + der.tlv(der.BIT_STRING, b"\x00" + signature))


def verify_certificate(octets: bytes, *, tbs: bytes, serial: int, public_key: PublicKey) -> x509.Certificate:
    """The certificate, read back: those octets, that serial, and a signature that verifies under the authority's key.

    Raises: IssuanceFault.
    """
    try:
        certificate = x509.load_der_x509_certificate(octets)
        if certificate.tbs_certificate_bytes != tbs or certificate.serial_number != serial:
            raise IssuanceFault("the certificate does not hold the octets of its intent")
        _verify_signature(public_key, certificate.signature, tbs)
    except (ValueError, InvalidSignature) as error:
        raise IssuanceFault("the authority's signature does not verify") from error
    return certificate


def _verify_signature(public_key: PublicKey, signature: bytes, octets: bytes) -> None:
    """Raises: InvalidSignature."""
    hash_algorithm = signature_hash(public_key)
    if isinstance(public_key, MlDsaPublicKey):
        public_key.verify(signature, octets)
    elif hash_algorithm is None:
        raise InvalidSignature
    elif isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, octets, PKCS1v15(), hash_algorithm)
    else:
        public_key.verify(signature, octets, ec.ECDSA(hash_algorithm))


def verify_same_key(key: PrivateKey, public_key: PublicKey) -> None:
    """The key store gave the key that the authority's certificate names. Raises: IssuanceFault."""
    if spki_octets(key.public_key()) != spki_octets(public_key):
        raise IssuanceFault("the key store holds another key under the authority's label")
