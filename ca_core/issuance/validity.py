"""From when until when a certificate is valid. Pure."""

from datetime import datetime, timedelta

from ca_core.issuance.errors import IssuerNotValid
from ca_core.kernel.clock import TAIPEI, end_of_day_in_taipei
from ca_core.profiles.model import BeyondIssuer, Validity


def validity_of(
    rule: Validity, now: datetime, issuer_not_after: datetime | None, ends_by: datetime | None = None
) -> tuple[datetime, datetime]:
    """notBefore (this second) and notAfter by a profile's rule; issuer_not_after is None for a root.

    ends_by: what is derived from another certificate does not outlive that one.

    Raises: IssuerNotValid, where the certificate would outlive its issuer and the rule does not shorten it.
    """
    not_before = now.replace(microsecond=0)
    not_after = _end(rule, not_before)
    if rule.snap_to_end_of_day:
        not_after = end_of_day_in_taipei(not_after)
    if ends_by is not None:
        not_after = min(not_after, ends_by)
    if issuer_not_after is not None and not_after > issuer_not_after:
        if rule.beyond_issuer is BeyondIssuer.REFUSE:
            raise IssuerNotValid("the issuer's certificate ends first")
        not_after = issuer_not_after
    return not_before, not_after


def _end(rule: Validity, not_before: datetime) -> datetime:
    if rule.days is not None:
        return not_before + timedelta(days=rule.days)
    local = not_before.astimezone(TAIPEI)
    year = local.year + (rule.years or 0)
    try:
        return local.replace(year=year)
    except ValueError:  # 29 February
        return local.replace(year=year, day=28)
