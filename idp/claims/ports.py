"""Where claims come from: the registration and issuance records of the certification authority."""

from dataclasses import dataclass
from datetime import date
from typing import Protocol


class PersonRecord(Protocol):
    """A registered person."""

    @property
    def name(self) -> str: ...
    @property
    def birthdate(self) -> date: ...
    @property
    def gender(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def phone(self) -> str | None: ...


class Persons(Protocol):
    """The register of persons."""

    def find(self, person_id: str) -> PersonRecord | None: ...

    def national_id(self, person_id: str) -> str:
        """Decrypts it; called only where a client may be told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """An issued certificate."""

    der: bytes
    serial: int


class Certificates(Protocol):
    """The records of issued certificates."""

    def find(self, certificate_id: int) -> CertificateRecord | None: ...
