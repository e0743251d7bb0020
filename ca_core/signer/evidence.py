"""What must be on record before the signer signs: for each profile, one ordered list of checks.

The signer believes records, not callers: a role that was taken over gets nothing signed for which the records give no
reason. A profile without a list is never issued over the port; authorities' own certificates come from ceremonies.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ca_core.cards.model import PROFILES, Card, CardSlot, CardState, certificate_request_id
from ca_core.issuance.model import IssuanceRequest
from ca_core.registration.model import Person
from ca_core.signer.errors import EvidenceMissing
from ca_core.signer.model import INTERNAL_PROFILE, RESPONDER_PROFILE, TIMESTAMP_PROFILE, Caller, CallerRole

_SLOTS: Final = MappingProxyType({profile: slot for slot, profile in PROFILES.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A request beside what is on record about what it names. card_authority: the issuing CA for new cards."""

    caller: Caller
    request: IssuanceRequest
    card: Card | None
    person: Person | None
    orders: frozenset[str]
    card_authority: str | None


Check = Callable[[Evidence], None]


def verify_evidence(evidence: Evidence) -> None:
    """Runs the list of the request's profile in its order. Raises: EvidenceMissing."""
    checks = EVIDENCE.get(evidence.request.profile)
    if checks is None:
        raise EvidenceMissing(f"{evidence.request.profile} is not issued over the port")
    for check in checks:
        check(evidence)


def _from(*roles: CallerRole) -> Check:
    def asked_by_its_role(evidence: Evidence) -> None:
        if evidence.caller.role not in roles:
            raise EvidenceMissing(f"{evidence.request.profile} is not for {evidence.caller.role}")

    return asked_by_its_role


def _operator_is_named(evidence: Evidence) -> None:
    if not evidence.request.actor.startswith("operator:"):
        raise EvidenceMissing("no operator is named")


def _actor_is_the_role(evidence: Evidence) -> None:
    if evidence.request.actor != evidence.caller.role.actor:
        raise EvidenceMissing("the actor is not the caller's role")


def _possession_is_shown(evidence: Evidence) -> None:
    """That the proof holds is issuance's to verify."""
    if evidence.request.csr is None:
        raise EvidenceMissing("no certification request")


def _card_is_being_personalised(evidence: Evidence) -> None:
    card = evidence.card
    if card is None or card.state is not CardState.PERSONALISING:
        raise EvidenceMissing("no such card is being personalised")
    if evidence.request.person_id != card.person_id:
        raise EvidenceMissing("the card is another person's")


def _request_is_the_slots_one(evidence: Evidence) -> None:
    request, card = evidence.request, evidence.card
    slot: CardSlot = _SLOTS[request.profile]
    if card is None or request.request_id != certificate_request_id(card.card_number, slot):
        raise EvidenceMissing("not the one request of that card's slot")


def _subject_is_the_registered_person(evidence: Evidence) -> None:
    """The last digits of the national ID are the card centre's word: the signer cannot decrypt them."""
    request, person = evidence.request, evidence.person
    if person is None:
        raise EvidenceMissing("no such person")
    if (request.common_name, request.subject_serial_number) != (person.name, person.subject_serial_number):
        raise EvidenceMissing("the subject is not as registered")


def _authority_is_the_cards(evidence: Evidence) -> None:
    if evidence.card_authority is None or evidence.request.authority != evidence.card_authority:
        raise EvidenceMissing("not the issuing CA for new cards")


def _key_was_ordered(evidence: Evidence) -> None:
    if evidence.request.request_id not in evidence.orders:
        raise EvidenceMissing("no such key was ordered for that authority")


def _names_the_responder(evidence: Evidence) -> None:
    if evidence.request.common_name != f"OCSP Responder {evidence.request.authority}":
        raise EvidenceMissing("not a responder's name")


def _names_the_unit(evidence: Evidence) -> None:
    if evidence.request.common_name != f"Time Stamping Unit {evidence.request.authority}":
        raise EvidenceMissing("not a time-stamping unit's name")


def _names_the_caller_alone(evidence: Evidence) -> None:
    """A role renews its own certificate while that is good; its first one is made beside the signer."""
    name = evidence.caller.role.name_in_certificate
    if evidence.request.dns_names != (name,) or evidence.request.common_name != name:
        raise EvidenceMissing("not the caller's own name")


_CARD: Final[tuple[Check, ...]] = (
    _from(CallerRole.ADMIN),
    _operator_is_named,
    _possession_is_shown,
    _card_is_being_personalised,
    _request_is_the_slots_one,
    _subject_is_the_registered_person,
    _authority_is_the_cards,
)
EVIDENCE: Final[Mapping[str, tuple[Check, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(PROFILES.values(), _CARD),
        RESPONDER_PROFILE: (
            _from(CallerRole.VA),
            _actor_is_the_role,
            _possession_is_shown,
            _key_was_ordered,
            _names_the_responder,
        ),
        TIMESTAMP_PROFILE: (
            _from(CallerRole.VA),
            _actor_is_the_role,
            _possession_is_shown,
            _key_was_ordered,
            _names_the_unit,
        ),
        INTERNAL_PROFILE: (
            _from(*CallerRole),
            _actor_is_the_role,
            _possession_is_shown,
            _names_the_caller_alone,
        ),
    }
)
