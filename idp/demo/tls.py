"""The demo's own https: a certificate for localhost from the demo's issuing authority."""

import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_core.issuance.model import IssuanceRequest
from ca_core.kernel.rng import random_token
from idp.demo.configuration import ISSUING, ROOT_FILE
from idp.demo.founding import ACTOR
from idp.main.authority import CertificationAuthority


def server_context(ca: CertificationAuthority, folder: Path) -> ssl.SSLContext:
    """TLS 1.2 and later, a fresh certificate for localhost, client certificates of the demo's authorities asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    issued = ca.issuance.issue(
        IssuanceRequest(
            request_id=f"demo-tls:{random_token(ca.rng, 12)}",
            profile="internal-tls",
            authority=ISSUING,
            public_key=key.public_key(),
            common_name="localhost",
            dns_names=("localhost",),
            csr=x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256()),
            actor=ACTOR,
        )
    )
    chain, private = folder / "tls-chain.pem", folder / "tls-key.pem"
    chain.write_bytes(
        issued.certificate.public_bytes(Encoding.PEM)
        + ca.registry.by_slug(ISSUING).certificate.public_bytes(Encoding.PEM)
    )
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, private)
    context.load_verify_locations(folder / ROOT_FILE)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
