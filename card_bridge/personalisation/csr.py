"""A PKCS#10 request signed by a key that is on the card: proof of possession for the CA (RFC 2986)."""

from collections.abc import Callable
from hashlib import new as new_hash

from asn1crypto import algos, csr, keys, x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from card_bridge.piv.management import PublicKey
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm

_SIGNATURES = {
    SignatureAlgorithm.ES256: "sha256_ecdsa",
    SignatureAlgorithm.ES384: "sha384_ecdsa",
    SignatureAlgorithm.RS256: "sha256_rsa",
}


def build_request(
    card_number: str,
    public_key: PublicKey,
    key_algorithm: KeyAlgorithm,
    sign: Callable[[bytes, SignatureAlgorithm], bytes],
) -> bytes:
    """The request in DER. Its subject is the card number; who the holder is, the CA knows from elsewhere.

    sign: digest and algorithm -> raw signature of the same key.
    """
    algorithm = SignatureAlgorithm.for_key(key_algorithm)
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": x509.Name.build({"common_name": card_number}),
            "subject_pk_info": keys.PublicKeyInfo.load(spki),
            "attributes": csr.CRIAttributes([]),
        }
    )
    digest = new_hash(algorithm.hash_name, info.dump()).digest()
    signature = sign(digest, algorithm)
    if algorithm is not SignatureAlgorithm.RS256:
        half = len(signature) // 2
        r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        signature = encode_dss_signature(r, s)
    request = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": _SIGNATURES[algorithm]}),
            "signature": signature,
        }
    )
    return bytes(request.dump())
