"""What must be on record before something is signed: each check refuses alone."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from ca_core.cards.model import PROFILES, Card, CardSlot, CardState, certificate_request_id
from ca_core.issuance.model import IssuanceRequest
from ca_core.profiles import load_profiles
from ca_core.registration.model import Gender, Person
from ca_core.signer.errors import EvidenceMissing
from ca_core.signer.evidence import EVIDENCE, Evidence, verify_evidence
from ca_core.signer.model import Caller, CallerRole
from support.pki import certification_request, citizen_request, new_key

NOW = datetime(2026, 3, 2, tzinfo=UTC)
NUMBER = "1234567890123456"
CARD = Card(card_number=NUMBER, person_id="person-1", state=CardState.PERSONALISING, started_at=NOW)
PERSON = Person(
    id="person-1",
    name="王小明",
    birthdate=date(1990, 2, 28),
    gender=Gender.MALE,
    subject_serial_number="0000000112345678",
    created_at=NOW,
)
KEY = new_key()


def caller(role: CallerRole) -> Caller:
    return Caller(role=role, certificate_id=1)


def card_evidence(slot: CardSlot = CardSlot.AUTHENTICATION) -> Evidence:
    request = citizen_request(certificate_request_id(NUMBER, slot), profile=PROFILES[slot], key=KEY, card_number=NUMBER)
    return Evidence(
        caller=caller(CallerRole.ADMIN),
        request=request,
        card=CARD,
        person=PERSON,
        orders=frozenset(),
        card_authority="citizen-g1",
    )


def own_evidence(role: CallerRole, profile: str, **members: Any) -> Evidence:  # noqa: ANN401 - of a request
    request = IssuanceRequest(
        request_id="ocsp-citizen-g1-1",
        profile=profile,
        authority="citizen-g1",
        public_key=KEY.public_key(),
        actor=role.actor,
        csr=certification_request(KEY),
        **members,
    )
    return Evidence(
        caller=caller(role),
        request=request,
        card=None,
        person=None,
        orders=frozenset({"ocsp-citizen-g1-1"}),
        card_authority=None,
    )


def responder_evidence() -> Evidence:
    return own_evidence(CallerRole.VA, "ocsp-responder", common_name="OCSP Responder citizen-g1")


def renewal_evidence(role: CallerRole = CallerRole.WORKER) -> Evidence:
    name = role.name_in_certificate
    return own_evidence(role, "internal-tls", common_name=name, dns_names=(name,))


def with_request(evidence: Evidence, **changes: Any) -> Evidence:  # noqa: ANN401 - wrong on purpose
    return replace(evidence, request=replace(evidence.request, **changes))


@pytest.mark.parametrize("slot", list(CardSlot))
def test_a_card_in_the_making(slot: CardSlot) -> None:
    verify_evidence(card_evidence(slot))


@pytest.mark.parametrize("role", list(CallerRole))
def test_a_responder_and_a_renewal(role: CallerRole) -> None:
    verify_evidence(responder_evidence())
    verify_evidence(renewal_evidence(role))


@pytest.mark.parametrize(
    "evidence",
    [
        *(replace(card_evidence(), caller=caller(role)) for role in CallerRole if role is not CallerRole.ADMIN),
        replace(card_evidence(), card=None),
        *(replace(card_evidence(), card=replace(CARD, state=s)) for s in CardState if s is not CardState.PERSONALISING),
        replace(card_evidence(), card=replace(CARD, person_id="person-2")),
        replace(card_evidence(), card=replace(CARD, card_number="1234567890123457")),
        replace(card_evidence(), person=None),
        replace(card_evidence(), person=replace(PERSON, name="李小華")),
        replace(card_evidence(), person=replace(PERSON, subject_serial_number="0000000112345679")),
        replace(card_evidence(), card_authority="citizen-g2"),
        replace(card_evidence(), card_authority=None),
        with_request(card_evidence(), request_id="another"),
        with_request(card_evidence(), profile=PROFILES[CardSlot.SIGNATURE]),
        with_request(card_evidence(), actor="system:admin"),
        with_request(card_evidence(), csr=None),
        with_request(card_evidence(), profile="citizen-legacy-signature"),
        replace(responder_evidence(), orders=frozenset()),
        *(replace(responder_evidence(), caller=caller(role)) for role in CallerRole if role is not CallerRole.VA),
        with_request(responder_evidence(), common_name="Root"),
        with_request(responder_evidence(), csr=None),
        with_request(responder_evidence(), actor="operator:1"),
        replace(renewal_evidence(), caller=caller(CallerRole.VA)),
        with_request(renewal_evidence(), dns_names=("ca.citizenid.internal",)),
        with_request(renewal_evidence(), common_name="localhost"),
        with_request(renewal_evidence(), dns_names=()),
        with_request(renewal_evidence(), csr=None),
    ],
)
def test_anything_else_is_refused(evidence: Evidence) -> None:
    with pytest.raises(EvidenceMissing):
        verify_evidence(evidence)


def test_a_profile_without_a_list_is_not_issued() -> None:
    profiles = load_profiles()
    assert set(EVIDENCE) <= set(profiles)
    assert not any(profiles[name].is_ca for name in EVIDENCE)
    for name in set(profiles) - set(EVIDENCE):
        with pytest.raises(EvidenceMissing):
            verify_evidence(with_request(card_evidence(), profile=name))
