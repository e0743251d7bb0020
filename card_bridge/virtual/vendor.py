"""The instructions one vendor added to PIV: what a virtual card of that kind answers beyond the standard."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from card_bridge.apdu import status, tlv
from card_bridge.apdu.errors import MalformedTlv
from card_bridge.apdu.model import CommandApdu, Ins
from card_bridge.piv.management import KEY_REFERENCE, KEY_SIZES
from card_bridge.piv.model import AlgorithmReference
from card_bridge.piv.objects import build_certificate
from card_bridge.virtual import keys
from card_bridge.virtual.applet import KEY_REFERENCES, Applet
from card_bridge.virtual.authenticate import pin_policy
from card_bridge.virtual.refusal import Refused
from card_bridge.virtual.state import CardState, Secret, SecurityStatus, StoredKey

ATTESTATION_KEY: Final = 0xF9
ATTESTATION_CERTIFICATE: Final = 0x5FFF01
_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2049, 12, 31, tzinfo=UTC)


def process(applet: Applet, command: CommandApdu) -> bytes | None:
    """The answer to a vendor's instruction; None for any other. Raises: Refused."""
    handler = _INSTRUCTIONS.get(command.ins)
    return None if handler is None else handler(applet, command)


def _version(applet: Applet, command: CommandApdu) -> bytes:
    return bytes(applet.profile.version)


def _serial(applet: Applet, command: CommandApdu) -> bytes:
    return applet.state.serial.to_bytes(4, "big")


def _metadata(applet: Applet, command: CommandApdu) -> bytes:
    state = applet.state
    if command.p2 in (0x80, 0x81):
        secret = state.pin if command.p2 == 0x80 else state.puk
        tries = bytes((secret.tries_total, secret.tries_left))
        return _described(0xFF, default=secret.is_default) + tlv.encode(0x06, tries)
    if command.p2 == KEY_REFERENCE:
        described = _described(state.management_algorithm, default=state.management_is_default)
        return described + tlv.encode(0x02, b"\x00\x01")
    stored = state.keys.get(command.p2)
    if stored is None:
        raise Refused(status.REFERENCE_NOT_FOUND)
    return (
        tlv.encode(0x01, bytes((keys.algorithm_of(stored.private_key),)))
        + tlv.encode(0x02, bytes((pin_policy(command.p2, stored), stored.touch_policy or 1)))
        + tlv.encode(0x03, b"\x01" if stored.generated else b"\x02")
        + tlv.encode(0x04, keys.public_objects(stored.private_key))
    )


def _described(algorithm: int, *, default: bool) -> bytes:
    return tlv.encode(0x01, bytes((algorithm,))) + tlv.encode(0x05, bytes((default,)))


def _set_tries(applet: Applet, command: CommandApdu) -> bytes:
    applet.require_management()
    if not applet.security.pin_verified:
        raise Refused(status.SECURITY_STATUS_NOT_SATISFIED)
    if not 1 <= command.p1 <= 15 or not 1 <= command.p2 <= 15:
        raise Refused(status.INCORRECT_P1_P2)
    profile, state = applet.profile, applet.state
    state.pin = _secret(profile.pin, command.p1)
    state.puk = _secret(profile.puk, command.p2)
    applet.security.forget_pin()
    applet.save()
    return b""


def _secret(value: bytes, tries: int) -> Secret:
    return Secret(value=value.ljust(8, b"\xff"), tries_total=tries, tries_left=tries)


def _factory_reset(applet: Applet, command: CommandApdu) -> bytes:
    if applet.state.pin.tries_left or applet.state.puk.tries_left:
        raise Refused(status.CONDITIONS_NOT_SATISFIED)
    fresh = CardState.from_factory(applet.profile, applet.state.serial)
    if ATTESTATION_KEY in applet.state.keys:
        fresh.keys[ATTESTATION_KEY] = applet.state.keys[ATTESTATION_KEY]
        fresh.objects[ATTESTATION_CERTIFICATE] = applet.state.objects[ATTESTATION_CERTIFICATE]
    applet.state = fresh
    applet.security = SecurityStatus()
    applet.save()
    return b""


def _set_management_key(applet: Applet, command: CommandApdu) -> bytes:
    if command.p1 != 0xFF or command.p2 not in (0xFF, 0xFE):
        raise Refused(status.INCORRECT_P1_P2)
    applet.require_management()
    data = bytes(command.data)
    if len(data) < 3 or data[1] != KEY_REFERENCE or len(data) != 3 + data[2]:
        raise Refused(status.WRONG_LENGTH)
    sizes = {int(algorithm): size for algorithm, size in KEY_SIZES.items()}
    if sizes.get(data[0]) != data[2]:
        raise Refused(status.INCORRECT_DATA)
    state = applet.state
    state.management_algorithm, state.management_key = AlgorithmReference(data[0]), data[3:]
    state.management_is_default = state.management_key == applet.profile.management_key
    applet.save()
    return b""


def _import_key(applet: Applet, command: CommandApdu) -> bytes:
    if command.p2 not in KEY_REFERENCES | {ATTESTATION_KEY}:
        raise Refused(status.INCORRECT_P1_P2)
    applet.require_management()
    try:
        objects = {each.tag: each.value for each in tlv.parse(bytes(command.data))}
    except MalformedTlv as error:
        raise Refused(status.INCORRECT_DATA) from error
    if command.p1 == AlgorithmReference.RSA_2048:
        private_key = keys.import_rsa(*(int.from_bytes(objects.get(tag, b""), "big") for tag in (0x01, 0x02)))
    else:
        private_key = keys.import_ec(command.p1, int.from_bytes(objects.get(0x06, b""), "big"))
    applet.state.keys[command.p2] = StoredKey(
        private_key=private_key,
        generated=False,
        pin_policy=int.from_bytes(objects.get(0xAA, b""), "big"),
        touch_policy=int.from_bytes(objects.get(0xAB, b""), "big"),
    )
    applet.save()
    return b""


def _attest(applet: Applet, command: CommandApdu) -> bytes:
    stored = applet.state.keys.get(command.p1)
    if command.p2 or command.p1 not in KEY_REFERENCES:
        raise Refused(status.INCORRECT_P1_P2)
    if stored is None:
        raise Refused(status.REFERENCE_NOT_FOUND)
    if not stored.generated:
        raise Refused(status.INCORRECT_DATA)
    issuer = _attestation_key(applet)
    certificate = _certificate(
        subject=f"Virtual PIV attestation {command.p1:02X}",
        public_key=stored.private_key.public_key(),
        issuer_key=issuer,
        random=applet.random,
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def _attestation_key(applet: Applet) -> keys.PrivateKey:
    """The card's own attestation key, made with its self-signed certificate when it is first needed."""
    stored = applet.state.keys.get(ATTESTATION_KEY)
    if stored is None:
        stored = StoredKey(private_key=ec.generate_private_key(ec.SECP256R1()), generated=False)
        certificate = _certificate(
            subject="Virtual PIV attestation",
            public_key=stored.private_key.public_key(),
            issuer_key=stored.private_key,
            random=applet.random,
        )
        applet.state.keys[ATTESTATION_KEY] = stored
        content = build_certificate(certificate.public_bytes(serialization.Encoding.DER))
        applet.state.objects[ATTESTATION_CERTIFICATE] = content
        applet.save()
    return stored.private_key


def _certificate(
    *,
    subject: str,
    public_key: keys.PublicKey,
    issuer_key: keys.PrivateKey,
    random: Callable[[int], bytes],
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Virtual PIV attestation")]))
        .public_key(public_key)
        .serial_number(int.from_bytes(random(16), "big") >> 1 | 1)
        .not_valid_before(_FIRST)
        .not_valid_after(_LAST)
        .sign(issuer_key, SHA256())
    )


_INSTRUCTIONS: Final[dict[int, Callable[[Applet, CommandApdu], bytes]]] = {
    Ins.VERSION: _version,
    Ins.SERIAL: _serial,
    Ins.METADATA: _metadata,
    Ins.SET_TRIES: _set_tries,
    Ins.FACTORY_RESET: _factory_reset,
    Ins.SET_MANAGEMENT_KEY: _set_management_key,
    Ins.IMPORT_KEY: _import_key,
    Ins.ATTEST: _attest,
}
