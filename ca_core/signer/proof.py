"""Proof of possession for keys that the caller's own key store holds under the request's id: OCSP responders'."""

from dataclasses import replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca_core.issuance.model import IssuanceRequest, IssuedCertificate
from ca_core.keys.ports import KeyStore
from ca_core.status.ports import Issuer


class ProvingIssuer:
    """An Issuer that adds a certification request, signed by the key whose label is the request_id."""

    def __init__(self, issuer: Issuer, keys: KeyStore) -> None:
        self._issuer = issuer
        self._keys = keys

    def issue(self, request: IssuanceRequest) -> IssuedCertificate:
        """As the issuer's. Raises also: KeyNotFound, Unavailable."""
        if request.csr is not None:
            return self._issuer.issue(request)
        key = self._keys.private_key(request.request_id)
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        return self._issuer.issue(replace(request, csr=csr))
