"""What the audit log says about card logins. No personal data: internal ids, and codes from closed lists."""

from ca_core.audit.model import AuditEvent, Outcome
from idp.authn.card.ports import LoginCertificate
from idp.authorize.model import Interaction


def accepted(interaction: Interaction, certificate: LoginCertificate, algorithm: str, request_id: str) -> AuditEvent:
    """A person logged in with a certificate."""
    return AuditEvent(
        name="card_login.accepted",
        actor=f"person:{certificate.person_id}",
        outcome=Outcome.OK,
        subject=f"certificate:{certificate.certificate_id}",
        request_id=request_id,
        detail={"client_id": interaction.request.client_id, "algorithm": str(algorithm)},
    )


def refused(interaction: Interaction, code: str, request_id: str) -> AuditEvent:
    """A token was refused. Who sent it is not known: nothing in a refused token proves anything."""
    return AuditEvent(
        name="card_login.refused",
        actor="anonymous",
        outcome=Outcome.REFUSED,
        subject=f"interaction:{interaction.key}",
        request_id=request_id,
        detail={"code": code, "client_id": interaction.request.client_id},
    )


def reported(interaction: Interaction, code: str, tries_left: int | None, request_id: str) -> AuditEvent:
    """The browser said that the bridge, or the browser itself, failed: a claim, not an observation of ours."""
    detail: dict[str, str | int | bool] = {"reported_code": code, "client_id": interaction.request.client_id}
    if tries_left is not None:
        detail["tries_left"] = tries_left
    return AuditEvent(
        name="card_login.reported",
        actor="anonymous",
        outcome=Outcome.FAILED,
        subject=f"interaction:{interaction.key}",
        request_id=request_id,
        detail=detail,
    )
