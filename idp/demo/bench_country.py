"""The country that the benches run against: real services and records, software cards, many citizens."""

import sys
from datetime import date

from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.cards.model import CardSlot
from ca_core.kernel.rng import system_rng
from ca_core.kernel.settings import load_settings
from ca_core.registration.model import Gender
from ca_core.registration.national_id import check_digit
from ca_core.statement.model import LocalText
from idp.bench.card_login import SoftwareCard
from idp.bench.model import Country, Plan
from idp.bench.relying_party import Registration
from idp.clients.model import ClientRegistration
from idp.clients.service import ClientRegistry
from idp.demo.configuration import DemoPlaces, write_configuration
from idp.demo.founding import ACTOR, found_authority, found_provider_keys
from idp.demo.software_card import SoftwareStation
from idp.main.authority import CertificationAuthority

_REDIRECT = "http://localhost:1/callback"


def found_country(plan: Plan) -> Country:
    """A provider with its CA in the plan's folder and database, its citizens, and the command that serves it."""
    places = DemoPlaces(
        issuer=f"http://localhost:{plan.port}",
        port=plan.port,
        bridge_origin="http://127.0.0.1:61161",
        pki_base_url=f"http://127.0.0.1:{plan.port}/pki",
        database_url=plan.database_url,
    )
    config = write_configuration(plan.folder, places, system_rng)
    ca = CertificationAuthority(load_settings(config))
    found_authority(ca, plan.folder)
    found_provider_keys(ca)
    cards = tuple(_citizen(ca, number) for number in range(plan.citizens))
    registration = _client(ca, places.issuer)
    ca.database.dispose()
    serve = (sys.executable, "-c", "from idp.entry import main; main()", "serve", "--config", str(config))
    return Country(registration=registration, cards=cards, serve=(*serve, "--workers", str(plan.workers)))


def _citizen(ca: CertificationAuthority, number: int) -> SoftwareCard:
    prefix = f"A1{number:07d}"
    person = ca.registration().register(
        national_id=prefix + check_digit(prefix),
        name=f"測試 {number}",
        birthdate=date(1990, 1, 1),
        gender=Gender.FEMALE,
        actor=ACTOR,
    )
    station = SoftwareStation()
    card = ca.cards().personalise(person.id, station, pin="000000", puk="00000000", actor=ACTOR)
    with ca.database.read() as tx:
        issued = ca.certificates.by_card(tx, card.card_number)
    certificate = next(one.certificate for one in issued if one.profile == "citizen-authentication")
    return SoftwareCard(key=station.keys[CardSlot.AUTHENTICATION], certificate=certificate.public_bytes(Encoding.DER))


def _client(ca: CertificationAuthority, issuer: str) -> Registration:
    asked = ClientRegistration(
        name=LocalText(zh_tw="量測", en="Bench"),
        purpose=LocalText(zh_tw="量測效能", en="Measuring"),
        redirect_uris=(_REDIRECT,),
        scopes=("openid", "profile"),
    )
    made = ClientRegistry(ca.database, ca.clock, ca.rng, ca.audit).register(asked, actor=ACTOR)
    return Registration(
        issuer=issuer,
        client_id=made.client.client_id,
        client_secret=made.client_secret or "",
        redirect_uri=_REDIRECT,
    )
