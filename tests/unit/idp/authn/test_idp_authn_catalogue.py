"""Every code that a person can meet on these pages has its words, in both languages."""

from collections.abc import Iterator

import pytest

import idp.authorize.errors
import idp.consent.web
from ca_core.kernel.errors import DomainError
from ca_core.kernel.web.csrf import CsrfRefused
from ca_core.kernel.web.errors import RequestError
from ca_core.kernel.web.messages import LANGUAGES, Catalogues
from ca_core.kernel.web.pages import OWN_MESSAGES
from ca_core.validation.errors import CertificateRefused
from idp import messages
from idp.authn.card.errors import CardLoginRefused
from idp.authn.card.model import REPORTED_CODES
from idp.authorize.errors import InteractionError
from idp.oauth.scopes import CLAIM_SCOPE

CATALOGUES = Catalogues.load([OWN_MESSAGES, messages.FOLDER])
FAMILIES = (CardLoginRefused, InteractionError, RequestError, CsrfRefused, idp.consent.web.InvalidDecision)
CERTIFICATE_CODES = (
    "certificate_malformed",
    "certificate_unknown_issuer",
    "certificate_expired",
    "certificate_not_yet_valid",
    "certificate_wrong_profile",
    "certificate_unknown",
    "certificate_suspended",
    "certificate_revoked",
)


def codes() -> Iterator[str]:
    for family in FAMILIES:
        yield family.code
        yield from (error.code for error in subclasses(family))
    yield from REPORTED_CODES
    yield from CERTIFICATE_CODES
    yield from ("unknown_client", "redirect_uri_refused", "unreadable_request", "server_error", "offline")


def subclasses(family: type[DomainError]) -> Iterator[type[DomainError]]:
    for error in family.__subclasses__():
        yield error
        yield from subclasses(error)


@pytest.mark.parametrize("code", sorted(set(codes())))
def test_every_error_has_a_title_and_a_message(code: str) -> None:
    for part in ("title", "message"):
        assert f"error.{code}.{part}" in CATALOGUES.keys


@pytest.mark.parametrize("claim", ["sub", *sorted(CLAIM_SCOPE)])
def test_every_claim_has_a_name_and_a_meaning(claim: str) -> None:
    assert {f"claim.{claim}", f"claim.{claim}.meaning"} <= CATALOGUES.keys


def test_refusals_say_what_to_do_in_the_readers_script() -> None:
    for lang in LANGUAGES:
        t = CATALOGUES.translator(lang)
        for code in set(codes()):
            for text in t.error(code):
                has_chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
                assert has_chinese == (lang == "zh-TW"), (code, text)


def test_certificate_codes_are_the_validators() -> None:
    assert {error.code for error in subclasses(CertificateRefused)} == set(CERTIFICATE_CODES)
