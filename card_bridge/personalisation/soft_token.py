"""A PKCS#11 soft token in the station, for demos on a computer without PC/SC: the same steps, no card's protection.

The token's security officer PIN is what a card calls its PUK; a management key it has none.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from asn1crypto.keys import PublicKeyInfo, RSAPublicKey
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import Attribute, CertificateType, KeyType, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
from pkcs11.util.rsa import encode_rsa_public_key

from card_bridge.personalisation.model import NEVER, FactorySecrets, Order
from card_bridge.piv.card_number import guid_of
from card_bridge.piv.errors import AlreadyPersonalised, CardFault, NoCard, PinIncorrect
from card_bridge.piv.management import PublicKey
from card_bridge.piv.model import KeyAlgorithm, SignatureAlgorithm, Slot
from card_bridge.piv.objects import Chuid
from card_bridge.piv.pkcs11 import (
    CHUID_LABEL,
    IDS,
    Pkcs11,
    Pkcs11Card,
    forget_sessions,
    load_module,
    read_certificate,
    sign_with,
    translated,
    usable_token,
)

_CURVES: Final = {KeyAlgorithm.P_256: "secp256r1", KeyAlgorithm.P_384: "secp384r1"}


class SoftTokenBench:
    """The token with this label, made if there is none."""

    def __init__(self, module: Path, label: str | None, factory: FactorySecrets | None = None) -> None:
        self._module = module
        self._label = label or "Citizen card"
        self._factory = factory or FactorySecrets()

    @contextmanager
    def take(self) -> Iterator["SoftTokenWorkpiece"]:
        workpiece = SoftTokenWorkpiece(self._token(), self._module, self._factory)
        try:
            yield workpiece
        finally:
            workpiece.close()

    def _token(self) -> Pkcs11:
        library = load_module(self._module)
        token = self._labelled(library)
        if token is None:
            self._initialise()
            forget_sessions(self._module)
            token = self._labelled(library)
        if token is None:
            raise NoCard(f"no token {self._label}")
        return token

    def _labelled(self, library: Pkcs11) -> Pkcs11:
        tokens = (usable_token(slot) for slot in library.get_slots())
        return next((token for token in tokens if token is not None and token.label.strip() == self._label), None)

    def _initialise(self) -> None:
        """A blank token, by SoftHSM's own tool: python-pkcs11 has no call for it. The factory's secrets are none."""
        tool = shutil.which("softhsm2-util")
        if tool is None:
            raise NoCard(f"no token {self._label}, and softhsm2-util, which makes one, is not installed")
        secrets = ["--so-pin", self._factory.puk.decode("ascii"), "--pin", self._factory.pin.decode("ascii")]
        result = subprocess.run(  # noqa: S603 - a fixed program; the label is one argument
            [tool, "--module", str(self._module), "--init-token", "--free", "--label", self._label, *secrets],
            capture_output=True,
            check=False,
        )
        if result.returncode:
            raise CardFault(f"softhsm2-util: exit status {result.returncode}")


class SoftTokenWorkpiece:
    """One visit to a token (`card_bridge.personalisation.ports.Workpiece`)."""

    def __init__(self, token: Pkcs11, module: Path, factory: FactorySecrets) -> None:
        self._token = token
        self._module = module
        self._factory = factory
        self._session: Pkcs11 = None

    def close(self) -> None:
        if self._session is not None:
            with translated("close"):
                self._session.close()
            self._session = None

    def card_number(self) -> str | None:
        if self._session is not None:
            self.close()
        card = Pkcs11Card(self._token)
        try:
            return card.card_number()
        finally:
            card.close()

    def prepare(self, order: Order) -> None:
        claimed = self.card_number()
        certified = any(self.certificate(slot) is not None for slot in IDS)
        if not order.again and claimed is not None and (claimed != order.card_number or certified):
            raise AlreadyPersonalised("the token is taken")
        self._set_pins(order)
        self.open_for_writing(order)
        with translated("clear"):
            for found in list(self._session.get_objects()):
                found.destroy()
        content = Chuid(guid=guid_of(order.card_number), expires=NEVER).build()
        self._create_data(CHUID_LABEL, content)

    def make_key(self, slot: Slot, algorithm: KeyAlgorithm) -> PublicKey:
        with translated("generate"):
            if algorithm is KeyAlgorithm.RSA_2048:
                public, _ = self._session.generate_keypair(
                    KeyType.RSA, 2048, id=IDS[slot], label=slot.value, store=True
                )
                spki = PublicKeyInfo.wrap(RSAPublicKey.load(encode_rsa_public_key(public)), "rsa").dump()
            else:
                parameters = self._session.create_domain_parameters(
                    KeyType.EC,
                    {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[algorithm])},
                    local=True,
                )
                public, _ = parameters.generate_keypair(id=IDS[slot], label=slot.value, store=True)
                spki = encode_ec_public_key(public)
        return _loaded(spki)

    def sign(self, order: Order, slot: Slot, digest: bytes, algorithm: SignatureAlgorithm) -> bytes:
        with translated(f"private key {slot}"):
            return sign_with(self._session, slot, digest, algorithm, lambda: order.pin.decode("ascii"))

    def open_for_writing(self, order: Order) -> None:
        self.close()
        with translated("login"):
            self._session = self._token.open(rw=True, user_pin=order.pin.decode("ascii"))

    def write_certificate(self, slot: Slot, der: bytes) -> None:
        with translated("write"):
            self._session.create_object(
                {
                    Attribute.CLASS: ObjectClass.CERTIFICATE,
                    Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: False,
                    Attribute.ID: IDS[slot],
                    Attribute.LABEL: slot.value,
                    Attribute.VALUE: der,
                    Attribute.SUBJECT: x509.load_der_x509_certificate(der).subject.public_bytes(),
                }
            )

    def certificate(self, slot: Slot) -> bytes | None:
        with translated("read"):
            if self._session is not None:
                return read_certificate(self._session, slot)
            with self._token.open() as session:
                return read_certificate(session, slot)

    def finish(self, order: Order) -> bool:
        return False

    def _set_pins(self, order: Order) -> None:
        """From the factory's to the order's, where an earlier attempt has not done it."""
        pin, puk = order.pin.decode("ascii"), order.puk.decode("ascii")
        factory_pin, factory_puk = self._factory.pin.decode("ascii"), self._factory.puk.decode("ascii")
        try:
            with translated("PIN"), self._token.open(rw=True, user_pin=factory_pin) as session:
                session.set_pin(factory_pin, pin)
        except PinIncorrect:
            forget_sessions(self._module)
            with translated("PIN"), self._token.open(user_pin=pin):
                pass
        try:
            with translated("PUK"), self._token.open(rw=True, so_pin=factory_puk) as session:
                session.set_pin(factory_puk, puk)
        except PinIncorrect:
            forget_sessions(self._module)
            with translated("PUK"), self._token.open(rw=True, so_pin=puk):
                pass

    def _create_data(self, label: str, value: bytes) -> None:
        with translated("write"):
            self._session.create_object(
                {
                    Attribute.CLASS: ObjectClass.DATA,
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: False,
                    Attribute.LABEL: label,
                    Attribute.VALUE: value,
                }
            )


def _loaded(spki: bytes) -> PublicKey:
    """Raises: CardFault for a key of another kind than was ordered."""
    key = load_der_public_key(spki)
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise CardFault("a public key of another kind")
    return key
