"""Whether what came of a login still stands, as a column of another feature's statement: one read instead of three."""

from sqlalchemy import ColumnElement, ScalarSelect, bindparam, func, literal_column, select

from ca_core.revocation.expressions import latest_change
from idp.sessions.store import login_session


def standing(session_id: ColumnElement[str]) -> ScalarSelect[str]:
    """A `Standing` for the session in that column of the enclosing statement, which has a parameter `now`."""
    return (
        select(func.coalesce(latest_change(login_session.c.certificate_id), literal_column("''")))
        .where(
            login_session.c.id == session_id,
            login_session.c.ended_at.is_(None),
            login_session.c.expires_at > bindparam("now"),
        )
        .correlate_except(login_session)
        .scalar_subquery()
    )
