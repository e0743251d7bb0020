"""`card-login`: interaction, nonce, Web eID token checked with path and status, session, code, token.

The card is a key in the client's memory with a certificate from the CA under test: what a card's chip and its reader
take is not the server's cost.
"""

import hashlib
import json
import re
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ca_core.kernel.clock import Clock
from idp.bench.browser import REDIRECTS, Browser
from idp.bench.errors import BenchFailed
from idp.bench.http_client import Answer
from idp.bench.relying_party import Attempt, RelyingParty
from idp.bench.rounds import Operation

_CSRF = re.compile(rb'name="csrf_token"\s+value="([^"]+)"')
_VERIFY_EVERY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareCard:
    """A citizen's authentication key and certificate (DER)."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes

    def auth_token(self, origin: str, challenge_nonce: str) -> dict[str, str]:
        """A Web eID token: ES256 over hash(origin) and hash(nonce)."""
        signed = hashlib.sha256(origin.encode()).digest() + hashlib.sha256(challenge_nonce.encode()).digest()
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(SHA256())))
        return {
            "unverifiedCertificate": b64encode(self.certificate).decode(),
            "algorithm": "ES256",
            "signature": b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode(),
            "format": "web-eid:1.0",
            "appVersion": "bench",
        }


def card_login(party: RelyingParty, card: SoftwareCard, clock: Clock) -> Operation:
    """The operation of one citizen: each time in a new browser, without script; consent is asked once."""
    count = 0

    async def operation() -> None:
        nonlocal count
        browser = Browser(party.registration.issuer)
        try:
            callback, attempt = await enter(party, browser, card)
            at = clock if count % _VERIFY_EVERY == 0 else None
            await party.finish(browser, attempt, callback, signature_at=at, userinfo=False)
        finally:
            browser.close()
        count += 1

    return operation


async def enter(party: RelyingParty, browser: Browser, card: SoftwareCard) -> tuple[str, Attempt]:
    """From a new authorization request to the callback with its code; leaves the browser with a live session."""
    attempt = party.begin()
    until = party.registration.redirect_uri
    url, page = await browser.follow(attempt.url, until=until)
    if page is None:
        raise BenchFailed("no login was asked for")
    path, csrf = urlsplit(url).path, _csrf(page)
    asked = json.loads((await _post_json(browser, f"{path}/card/challenge", {}, csrf)).body)
    token = card.auth_token(browser.origin, asked["challenge_nonce"])
    answer = await _post_json(browser, f"{path}/card", {"auth_token": token}, csrf)
    url = urljoin(url, json.loads(answer.body)["location"])
    if not url.startswith(until):
        url, page = await browser.follow(url, until=until)
        if page is not None:
            url = await _consent(browser, url, page)
    return url, attempt


async def _consent(browser: Browser, url: str, page: Answer) -> str:
    form = urlencode({"csrf_token": _csrf(page), "decision": "allow"}).encode()
    headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Origin", browser.origin))
    answer = await browser.request("POST", urlsplit(url).path, headers=headers, body=form)
    if answer.status not in REDIRECTS:
        raise BenchFailed(f"consent: {answer.status}")
    return urljoin(url, answer.headers["location"])


async def _post_json(browser: Browser, path: str, members: dict[str, object], csrf: str) -> Answer:
    headers = (
        ("Content-Type", "application/json"),
        ("Accept", "application/json"),
        ("Origin", browser.origin),
        ("X-CSRF-Token", csrf),
    )
    answer = await browser.request("POST", path, headers=headers, body=json.dumps(members).encode())
    if answer.status != 200:
        raise BenchFailed(f"{path.rpartition('/')[2]}: {answer.status} {answer.body[:200].decode(errors='replace')}")
    return answer


def _csrf(page: Answer) -> str:
    found = _CSRF.search(page.body)
    if page.status != 200 or found is None:
        raise BenchFailed(f"no form: {page.status} {page.body[:200].decode(errors='replace')}")
    return found[1].decode()
