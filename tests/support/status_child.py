"""A process that revokes one certificate after another and says so each time, until it is killed.

Arguments: the database's URL, how many certificates there are.
"""

import sys
from dataclasses import dataclass

from ca_core.audit import AuditLog
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database, Transaction
from ca_core.kernel.rng import system_rng
from ca_core.revocation import RevocationReason, RevocationService
from support.small_pki import SmallPki


@dataclass(frozen=True)
class Numbered:
    """Certificates whose number is their serial."""

    pki: SmallPki

    def find(self, tx: Transaction, authority_id: int, serial: int) -> object:
        issued = self.pki.certificates.kept[self.pki.g3.id, 1]
        return type(issued)(
            **{name: getattr(issued, name) for name in issued.__slots__} | {"certificate_id": serial, "serial": serial}
        )

    def derived_from(self, tx: Transaction, certificate_id: int) -> tuple[object, ...]:
        return ()


def main() -> None:
    url, count = sys.argv[1], int(sys.argv[2])
    pki = SmallPki()
    pki.issue(pki.g3, serial=1)
    service = RevocationService(
        Database.open(url),
        Numbered(pki),  # type: ignore[arg-type]  # the port, in the shape it needs
        AuditLog(system_clock, system_rng),
        system_clock,
    )
    for serial in range(1, count + 1):
        change = service.revoke(pki.g3.id, serial, RevocationReason.SUPERSEDED, "system:child")
        print(change.sequence, flush=True)


if __name__ == "__main__":
    main()
