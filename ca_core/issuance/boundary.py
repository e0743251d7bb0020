"""The boundary cases of a profile: the shortest, longest and oddest certificates that it lets through. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ca_core.authorities.model import AuthoritySigner
from ca_core.authorities.rehearsal import rehearsal_key
from ca_core.crl_shards.model import ShardLayout
from ca_core.issuance.checks import Candidate
from ca_core.issuance.errors import IssuerNotValid
from ca_core.issuance.model import IssuanceRequest
from ca_core.issuance.validity import validity_of
from ca_core.keys.model import KeyAlgorithm
from ca_core.profiles.model import Profile, Source, SubjectAlternativeNames, SubjectDirectoryAttributes

_NAMES = ("a", "瓦" * 64, "𠀀" * 22, "O'Brien-王 (阿明)", "Ab 9." * 12)
_SERIALS = (1, 0x7F, 0x80, (1 << 127) - 1, 1 << 120, 0xFF << 64)
_DIGITS = ("0000", "9999", "6789")
_HOSTS = (("localhost",), ("a", f"{'b' * 63}.example"), tuple(f"h{index}.{'c' * 63}.example" for index in range(32)))
_TURN_OF_THE_TIMES = datetime(2050, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryCase:
    """A request that may come, when it comes, and the serial that it is given."""

    candidate: Candidate
    serial: int


def boundary_cases(
    profile: Profile, signer: AuthoritySigner, algorithm: KeyAlgorithm, shards: ShardLayout | None, now: datetime
) -> Iterator[BoundaryCase]:
    """At least one. The key is a rehearsal key; possession is not proven, since no rule of content looks at it."""
    moments = list(_moments(profile, signer, now))
    serials = list(_SERIALS)
    if shards is not None:  # the first and the last of them
        serials += [shards.count << 64, (shards.count << 64) + shards.count - 1]
    count = max(len(_NAMES), len(serials), len(moments))
    for index in range(count):
        request = IssuanceRequest(
            request_id=f"boundary:{index}",
            profile=profile.name,
            authority=signer.slug,
            public_key=rehearsal_key(algorithm),
            actor="system:template",
            common_name=_NAMES[index % len(_NAMES)] if profile.uses(Source.COMMON_NAME) else None,
            subject_serial_number=str(index % 10) * 16 if profile.uses(Source.SERIAL_NUMBER) else None,
            national_id_last4=_DIGITS[index % len(_DIGITS)] if profile.has(SubjectDirectoryAttributes) else None,
            dns_names=_HOSTS[index % len(_HOSTS)] if profile.has(SubjectAlternativeNames) else (),
            person_id="boundary" if profile.person else None,
            card_number="0" * 16 if profile.person else None,
        )
        moment = moments[index % len(moments)]
        yield BoundaryCase(
            candidate=Candidate(request=request, profile=profile, signer=signer, now=moment, crl_shards=shards),
            serial=serials[index % len(serials)],
        )


def _moments(profile: Profile, signer: AuthoritySigner, now: datetime) -> Iterator[datetime]:
    """Now; the first and the last second at which the issuer can; around the change of the encoding of times."""
    yield now
    if signer.certificate is None:
        return
    first, last = signer.certificate.not_valid_before_utc, signer.certificate.not_valid_after_utc
    length = _length(profile, now)
    for moment in (first, last - length - timedelta(days=1), _TURN_OF_THE_TIMES - length, _TURN_OF_THE_TIMES):
        if first <= moment <= last:
            try:
                validity_of(profile.validity, moment, last)
            except IssuerNotValid:
                continue
            yield moment


def _length(profile: Profile, now: datetime) -> timedelta:
    if profile.validity.days is not None:
        return timedelta(days=profile.validity.days)
    return timedelta(days=366 * (profile.validity.years or 0))
