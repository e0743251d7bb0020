"""From a certificate to a configured root, by cryptography's own verifier (docs/adr: path validation library).

The first certificate of an authority is verified along the whole path; the authority's part of it is kept while it is
valid, and the next certificate is verified against its authority alone, which is one signature. What a presented
certificate gave is never kept.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    ClientVerifier,
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from ca_core.authorities.model import Authority
from ca_core.kernel.errors import ConfigurationError
from ca_core.validation.errors import CertificateUnknownIssuer
from ca_core.validation.ports import Authorities

_MAX_DEPTH = 3
_MAX_KEPT = 256


def _verify_is_ca(_policy: Policy, _certificate: x509.Certificate, value: x509.BasicConstraints) -> None:
    if not value.ca:
        raise ValueError("not a CA's certificate")


def _verify_signs_certificates(_policy: Policy, _certificate: x509.Certificate, value: x509.KeyUsage) -> None:
    if not value.key_cert_sign:
        raise ValueError("a key that may not sign certificates")


_CA_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.CRITICAL, _verify_is_ca)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, _verify_signs_certificates)
    .require_present(x509.SubjectKeyIdentifier, Criticality.NON_CRITICAL, None)
    # They would bind each certificate below, also along a kept path, and are not processed: refused, critical or not
    .require_not_present(x509.NameConstraints)
    .require_not_present(x509.PolicyConstraints)
    .require_not_present(x509.InhibitAnyPolicy)
)
_CITIZEN_POLICY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.AuthorityKeyIdentifier, Criticality.NON_CRITICAL, None)
    .require_present(x509.KeyUsage, Criticality.CRITICAL, None)
    .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAuthority:
    """An authority whose path to a configured root was verified, and from when until when all of that path is valid.

    certificate_ids: of the authorities on the path below the root, whose status still counts.
    """

    authority: Authority
    anchor: Store
    valid_from: datetime
    valid_until: datetime
    certificate_ids: tuple[int, ...]


class PathVerifier:
    """roots: the certificates that trust is configured for; never what a database row says of itself."""

    def __init__(self, authorities: Authorities, roots: Sequence[x509.Certificate]) -> None:
        if not roots:
            raise ConfigurationError("no trusted root certificate")
        self._authorities = authorities
        self._roots = tuple(roots)
        self._store = Store(list(self._roots))
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, bytes], VerifiedAuthority] = {}

    def verify_issuer(
        self, certificate: x509.Certificate, issuer_key_identifier: bytes | None, moment: datetime
    ) -> VerifiedAuthority:
        """The authority that signed the certificate, its path to a configured root being valid at that moment.

        1. The candidates are the authorities with the key that the certificate names; an issuer's name chooses nothing.
        2. Against a candidate whose own path is known and valid then: signature, names, validity, critical extensions.
        3. Else the whole path at once, path lengths included; of it only the authority's part is kept.
        Raises: CertificateUnknownIssuer.
        """
        reason = "no authority of ours has the key that it names"
        for authority in self._authorities.all():
            if authority.key_identifier != issuer_key_identifier:
                continue
            try:
                return self._verify_issued_by(authority, certificate, moment)
            except (VerificationError, ValueError):  # ValueError: a part that was not looked at before is malformed
                reason = f"not issued by authority {authority.id}, or that has no path to a configured root"
        raise CertificateUnknownIssuer(reason)

    def _verify_issued_by(
        self, authority: Authority, certificate: x509.Certificate, moment: datetime
    ) -> VerifiedAuthority:
        key = (authority.id, authority.certificate.signature)
        kept = self._kept.get(key)
        if kept is not None and kept.valid_from <= moment <= kept.valid_until:
            _verifier(kept.anchor, moment, depth=0).verify(certificate, [])
            return kept
        verified = self._verify_path(authority, certificate, moment)
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            self._kept[key] = verified
        return verified

    def _verify_path(self, authority: Authority, certificate: x509.Certificate, moment: datetime) -> VerifiedAuthority:
        known = self._authorities.all()
        above = [other for other in known if other.key_identifier != authority.key_identifier]
        intermediates = [authority.certificate, *(other.certificate for other in above)]
        found = _verifier(self._store, moment, depth=_MAX_DEPTH).verify(certificate, intermediates)
        chain = found.chain[1:]
        if chain[:1] != [authority.certificate]:
            raise VerificationError("the path leads through another certificate of that key")
        return VerifiedAuthority(
            authority=authority,
            anchor=Store([authority.certificate]),
            valid_from=max(link.not_valid_before_utc for link in chain),
            valid_until=min(link.not_valid_after_utc for link in chain),
            certificate_ids=tuple(
                link.certificate_id
                for link in (authority, *above)
                if link.certificate in chain and link.certificate not in self._roots
            ),
        )


def clamped(moment: datetime, not_before: datetime, not_after: datetime) -> datetime:
    """The moment nearest to now at which the certificate is valid by its own dates.

    The path is judged then, so that an expired certificate of ours is told apart from a stranger's.
    """
    return max(min(moment.replace(microsecond=0), not_after), not_before)


def _verifier(store: Store, moment: datetime, *, depth: int) -> ClientVerifier:
    return (
        PolicyBuilder()
        .store(store)
        .time(moment)
        .max_chain_depth(depth)
        .extension_policies(ca_policy=_CA_POLICY, ee_policy=_CITIZEN_POLICY)
        .build_client_verifier()
    )
