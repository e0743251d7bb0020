"""The page about the profiles, from the profiles. Pure; written to docs/profiles.md by scripts/profile_page.py."""

from collections.abc import Iterable, Iterator, Mapping

from ca_core.profiles import model
from ca_core.profiles.model import Profile, SubjectAttribute
from ca_core.profiles.oids import NAMES

_NAME_OF = {oid: name for name, oid in NAMES.items()}
_ISSUERS = {
    model.Issuer.SELF: "itself",
    model.Issuer.ROOT: "a root",
    model.Issuer.ISSUING: "an issuing authority",
    model.Issuer.ANY: "any authority",
}
_REUSE = {
    model.KeyReuse.NEVER: "never certified twice",
    model.KeyReuse.SAME_HOLDER: "certified again for the same holder only",
    model.KeyReuse.AUTHORITY: "an authority's, certified by other roots as well",
}
_BEYOND = {model.BeyondIssuer.REFUSE: "refused", model.BeyondIssuer.SHORTEN: "shortened to it"}


def profiles_page(profiles: Mapping[str, Profile]) -> str:
    """The page in Markdown. The same octets for the same profiles."""
    return "\n".join(
        [
            "# Certificate profiles",
            "",
            "Made by `scripts/profile_page.py` from `ca_core/profiles/data/*.toml`; a test fails where it is not so.",
            "Extensions stand in a certificate in the order of the tables. `{publication}` is the deployment's",
            "`pki_base_url`, `{issuer}` the issuing authority's slug, `{shard}` the number of the part of its",
            "revocation lists that the certificate belongs to; a URI with `{shard}` is left out where the authority",
            "has no shards.",
            "",
            "| profile | for | issued by | keys | valid |",
            "|---|---|---|---|---|",
            *(_summary(profile) for _, profile in sorted(profiles.items())),
            "",
            *(line for _, profile in sorted(profiles.items()) for line in _section(profile)),
        ]
    )


def _summary(profile: Profile) -> str:
    link = f"[{profile.name}](#{profile.name})"
    cells = (link, profile.description, _ISSUERS[profile.issuer], _keys(profile), _length(profile))
    return f"| {' | '.join(cells)} |"


def _section(profile: Profile) -> Iterator[str]:
    yield from (f"## {profile.name}", "", profile.description, "")
    yield f"- Issued by {_ISSUERS[profile.issuer]}. Keys: {_keys(profile)}; {_REUSE[profile.key_reuse]}."
    proof = "by PKCS#10" if profile.proof_of_possession else "not here (see the profile's file)"
    yield f"- Proof of possession: {proof}. {'Bound to a citizen and a card.' if profile.person else 'Of no citizen.'}"
    if profile.derived_from:
        origins = ", ".join(profile.derived_from)
        yield f"- Derived from the citizen's {origins}: ends with it at the latest, suspended and revoked with it."
    yield f"- Subject: {_subject(profile)}."
    end = ", to the end of the day in Taipei" if profile.validity.snap_to_end_of_day else ""
    beyond = _BEYOND[profile.validity.beyond_issuer]
    yield f"- Valid {_length(profile)}{end}; what would outlive its issuer is {beyond}."
    if profile.waived_findings:
        yield f"- Findings of the linter that do not refuse it: {_codes(profile.waived_findings)}."
    yield from ("", "| extension | critical | value |", "|---|---|---|")
    for extension in profile.extensions:
        yield f"| {extension.type} | {'yes' if extension.critical else 'no'} | {_value(extension)} |"
    yield ""


def _keys(profile: Profile) -> str:
    return ", ".join(profile.key_algorithms)


def _length(profile: Profile) -> str:
    validity = profile.validity
    number, unit = (validity.years, "year") if validity.years is not None else (validity.days, "day")
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _subject(profile: Profile) -> str:
    if profile.subject.from_request:
        return "the name in the ceremony's file"
    return ", ".join(_attribute(attribute) for attribute in profile.subject.attributes)


def _attribute(attribute: SubjectAttribute) -> str:
    if attribute.source is None:
        return f"{attribute.type}={attribute.value}"
    return f"{attribute.type} from the {'issuer' if attribute.source is model.Source.ISSUER else 'request'}"


def _value(extension: model.Extension) -> str:
    match extension:
        case model.AuthorityKeyIdentifier():
            return "the issuer's key identifier"
        case model.SubjectKeyIdentifier():
            return "SHA-1 over the public key"
        case model.KeyUsage():
            if extension.bits is not None:
                return ", ".join(extension.bits)
            return f"RSA: {', '.join(extension.rsa or ())}; EC: {', '.join(extension.ec or ())}"
        case model.ExtendedKeyUsage():
            return _oids(extension.purposes)
        case model.BasicConstraints():
            length = "no path length" if extension.path_length is None else f"path length {extension.path_length}"
            return f"CA, {length}"
        case model.CrlDistributionPoints() | model.FreshestCrl():
            return _codes(extension.uris)
        case model.AuthorityInformationAccess():
            return "; ".join(
                f"{name} {_codes(uris)}"
                for name, uris in (("caIssuers", extension.ca_issuers), ("OCSP", extension.ocsp))
                if uris
            )
        case model.CertificatePolicies():
            return _oids(extension.policies)
        case model.SubjectDirectoryAttributes():
            return f"subject type {_oids((extension.subject_type,))}; last four digits of the national ID"
        case model.OcspNoCheck():
            return "NULL"
        case model.SubjectAlternativeNames():
            return "the request's host names"


def _oids(oids: Iterable[str]) -> str:
    return ", ".join(f"{_NAME_OF.get(oid, oid)} (`{oid}`)" for oid in oids)


def _codes(texts: Iterable[str]) -> str:
    return ", ".join(f"`{text}`" for text in texts)
