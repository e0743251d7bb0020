"""Founding the demo's country: schema, authorities, what they publish, the provider's keys. Goes on where it was."""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from ca_core.authorities.ceremony_file import parse_ceremony
from ca_core.authorities.errors import AuthorityNotFound
from ca_core.backup.journal import found_journal
from idp.demo.configuration import ISSUING, ROOT, ROOT_FILE, ceremony_text
from idp.main.authority import CertificationAuthority
from idp.main.histories import upgrade_all
from idp.main.log_keys import LogFollower
from idp.provider_keys.loading import make_provider_keys

ACTOR = "system:demo"
SHARDS = 4
"""How many CRLs the demo's citizens are dealt out to."""


def found_authority(ca: CertificationAuthority, folder: Path) -> None:
    """The database at this code's schema, a root and an issuing authority, and what they publish.

    folder: where the root's certificate goes, which the settings name as the one to trust.
    """
    upgrade_all(ca.database)
    place = ca.settings.second_place
    if place is not None and not place.exists():
        found_journal(place, ca.rng)
    ca.issuance.recover()
    try:
        ca.registry.by_slug(ISSUING)
    except AuthorityNotFound:
        ca.ceremonies.run(parse_ceremony(ceremony_text(ca.issuance.publication_url).encode()), held_by=ACTOR)
        issuing = ca.registry.by_slug(ISSUING)
        url = ca.issuance.publication_url
        ca.shards.introduce(issuing.id, issuing.slug, count=SHARDS, publication_url=url, actor=ACTOR)
    (folder / ROOT_FILE).write_bytes(ca.registry.by_slug(ROOT).certificate.public_bytes(Encoding.PEM))
    ca.ensure_responders()
    if ca.timestamp_units is not None:
        ca.ensure_timestamp_unit(ca.timestamp_units)
    ca.crls.publish_due()
    while ca.sequencer.run_once():
        pass
    LogFollower(ca).publish_due()


def found_provider_keys(ca: CertificationAuthority) -> None:
    """The keys that sign tokens and statements."""
    make_provider_keys(ca.key_store, ca.settings.statement_key_label)
