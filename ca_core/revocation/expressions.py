"""What the status log says of a certificate, as a column of another feature's statement: one read instead of two."""

from sqlalchemy import ColumnElement, ScalarSelect, select

from ca_core.revocation.store import changes


def latest_change(certificate_id: ColumnElement[int]) -> ScalarSelect[str]:
    """The latest change of the certificate in that column of the enclosing statement; NULL where it was always good.

    `ca_core.status.model.is_good_after` says what it means.
    """
    return (
        select(changes.c.change)
        .where(changes.c.certificate_id == certificate_id)
        .order_by(changes.c.seq.desc())
        .limit(1)
        .correlate_except(changes)
        .scalar_subquery()
    )
