"""An earlier certification authority: its own keys, two generations of one name, citizens' cards, lists, and files."""

import csv
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca_core.issuance import der
from ca_core.kernel.clock import system_clock
from ca_core.keys.model import PrivateKey, key_identifier
from ca_core.profiles.oids import ASSURANCE_LEVEL_3, NATIONAL_ID_LAST4
from ca_core.registration.national_id import check_digit
from support.fakes import START
from support.small_pki import CITIZEN_CA_NAME, ROOT_NAME, key_usage

_RSA = rsa.generate_private_key(65537, 2048)  # one for every card of every test: making them is slow
BEGIN, END = START - timedelta(days=900), START + timedelta(days=900)


def national_id(number: int) -> str:
    """A well-formed one for each number."""
    first = f"A{1 + number % 2}{number:07d}"
    return first + check_digit(first)


def serial_number(number: int) -> str:
    """The 16 digits in the subject of that citizen's certificates."""
    return f"{number:016d}"


@dataclass
class OldHouse:
    """root, then g1 and g2 with the same name and other keys. Serials start at 1 in each."""

    keys: dict[str, PrivateKey] = field(default_factory=dict)
    authorities: dict[str, x509.Certificate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._found("root", ROOT_NAME, "root")
        self._found("g1", CITIZEN_CA_NAME, "root")
        self._found("g2", CITIZEN_CA_NAME, "root")

    def _found(self, slug: str, name: x509.Name, issuer: str) -> None:
        self.keys[slug] = ec.generate_private_key(ec.SECP256R1())
        key, issuer_key = self.keys[slug], self.keys[issuer]
        self.authorities[slug] = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if slug == issuer else self.authorities[issuer].subject)
            .public_key(key.public_key())
            .serial_number(0x7000 + len(self.keys))
            .not_valid_before(BEGIN)
            .not_valid_after(END + timedelta(days=900))
            .add_extension(x509.AuthorityKeyIdentifier(key_identifier(issuer_key.public_key()), None, None), False)
            .add_extension(x509.SubjectKeyIdentifier(key_identifier(key.public_key())), False)
            .add_extension(key_usage("digital_signature", "key_cert_sign", "crl_sign"), True)
            .add_extension(x509.BasicConstraints(True, None if slug == issuer else 0), True)
            .sign(issuer_key, hashes.SHA256())
        )

    def certificate(
        self,
        number: int,
        *,
        authority: str = "g1",
        usage: tuple[str, ...] = ("digital_signature", "content_commitment"),
        serial: int | None = None,
        last4: str | None = None,
        key: PrivateKey = _RSA,
        signer: str | None = None,
    ) -> x509.Certificate:
        """That citizen's card; its serial is the number."""
        issuer = self.keys[authority].public_key()
        name = [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "TW"),
            x509.NameAttribute(NameOID.COMMON_NAME, "王小明"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number(number)),
        ]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name(name))
            .issuer_name(CITIZEN_CA_NAME)
            .public_key(key.public_key())
            .serial_number(number if serial is None else serial)
            .not_valid_before(BEGIN)
            .not_valid_after(END)
            .add_extension(x509.AuthorityKeyIdentifier(key_identifier(issuer), None, None), False)
            .add_extension(key_usage(*usage), True)
            .add_extension(
                x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(ASSURANCE_LEVEL_3), None)]),
                False,
            )
            .add_extension(_last4_extension(national_id(number)[-4:] if last4 is None else last4), False)
            .sign(self.keys[signer or authority], hashes.SHA256())
        )

    def responder(self, public_key: object, *, authority: str) -> x509.Certificate:
        """What it makes of a request for an OCSP certificate, today."""
        now = system_clock()
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OCSP")]))
            .issuer_name(CITIZEN_CA_NAME)
            .public_key(public_key)  # type: ignore[arg-type]  # a request's
            .serial_number(0x6000)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False)
            .sign(self.keys[authority], hashes.SHA256())
        )

    def crl(
        self,
        revoked: dict[int, tuple[datetime, x509.ReasonFlags | None]],
        *,
        authority: str = "g1",
        signer: str | None = None,
        number: int = 2026030208,
    ) -> x509.CertificateRevocationList:
        """A list by serial."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(CITIZEN_CA_NAME)
            .last_update(START - timedelta(hours=1))
            .next_update(START + timedelta(days=1))
            .add_extension(x509.CRLNumber(number), False)
            .add_extension(
                x509.AuthorityKeyIdentifier(key_identifier(self.keys[authority].public_key()), None, None), False
            )
        )
        for serial, (at, reason) in revoked.items():
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
            if reason is not None:
                entry = entry.add_extension(x509.CRLReason(reason), False)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.keys[signer or authority], hashes.SHA256())


def write_holders(path: Path, numbers: range, *, extra: tuple[str, ...] = ()) -> Path:
    """A CSV of citizens, and lines that are written as they are."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["national_id", "name", "birthdate", "gender", "subject_serial_number", "card_number"])
        for number in numbers:
            writer.writerow(
                [national_id(number), "王小明", "1990-05-06", "男", serial_number(number), f"TP{number:08d}"]
            )
        file.writelines(f"{line}\n" for line in extra)
    return path


def write_ldif(path: Path, certificates: list[x509.Certificate]) -> Path:
    """One entry a certificate, values folded at 76 characters."""
    lines = ["version: 1", ""]
    for index, certificate in enumerate(certificates):
        value = f"userCertificate;binary:: {b64encode(certificate.public_bytes(Encoding.DER)).decode()}"
        lines += [f"dn: serialNumber={index},c=TW", "objectClass: top", value[:76]]
        lines += [f" {value[start : start + 75]}" for start in range(76, len(value), 75)]
        lines.append("")
    path.write_text("\n".join(lines), encoding="ascii")
    return path


def write_pem(path: Path, certificates: list[x509.Certificate]) -> Path:
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
    return path


def write_folder(path: Path, certificates: list[x509.Certificate]) -> Path:
    """DER and PEM in turn, two folders deep."""
    for index, certificate in enumerate(certificates):
        folder = path / f"{index % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        encoding = Encoding.PEM if index % 2 else Encoding.DER
        (folder / f"{index:05d}.cer").write_bytes(certificate.public_bytes(encoding))
    return path


def _last4_extension(last4: str) -> x509.UnrecognizedExtension:
    oid = der.tlv(der.OBJECT_IDENTIFIER, _oid_octets(NATIONAL_ID_LAST4))
    value = der.tlv(der.SET, der.tlv(der.PRINTABLE_STRING, last4.encode("ascii")))
    attributes = der.tlv(der.SEQUENCE, der.tlv(der.SEQUENCE, oid + value))
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.9"), attributes)


def _oid_octets(dotted: str) -> bytes:
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    out = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        out += bytes(reversed(groups))
    return out
