"""Makes an authentication token with a card whose PIN was verified."""

from importlib.metadata import PackageNotFoundError, version

from card_bridge.piv.model import Slot
from card_bridge.piv.ports import Card
from card_bridge.web_eid.model import AuthenticationToken, algorithm_for, authentication_digest
from card_bridge.web_eid.origin import Origin

LOGIN_SLOT = Slot.AUTHENTICATION


def bridge_version() -> str:
    """The installed version, as pages of pinned providers and tokens see it."""
    try:
        return version("citizenid")
    except PackageNotFoundError:
        return "0"


def sign_authentication(card: Card, *, certificate: bytes, origin: Origin, challenge_nonce: str) -> AuthenticationToken:
    """A token over hash(origin) || hash(nonce) by the key of 9A; nothing a caller chose is signed as it stands.

    certificate: 9A's, as read from this card. challenge_nonce: passed `parse_nonce` or is a statement's digest.
    Raises: CardError; KeyUnsupported.
    """
    algorithm = algorithm_for(certificate)
    digest = authentication_digest(origin, challenge_nonce, algorithm)
    return AuthenticationToken(
        certificate=certificate,
        algorithm=algorithm,
        signature=card.sign(LOGIN_SLOT, digest, algorithm),
        app_version=f"urn:citizenid:card-bridge:{bridge_version()}",
    )
