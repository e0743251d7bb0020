"""A process that stamps until it is killed, and says each serial once the stamp is signed.

Arguments: the database's URL, the folder of the keys.
"""

import sys
from hashlib import sha256
from pathlib import Path

from asn1crypto import tsp

from ca_core.audit import AuditLog
from ca_core.authorities import AuthorityRegistry
from ca_core.kernel.clock import system_clock
from ca_core.kernel.database import Database
from ca_core.kernel.rng import system_rng
from ca_core.keys import SoftwareKeyStore
from ca_core.revocation import StatusLog
from ca_core.status import StatusService
from ca_core.timestamp import SteadyClock, TimestampAuthority, TimestampRecords, TimestampUnits
from ca_core.timestamp.structures import TimeStampResponse
from support.pki_child import PASSPHRASE


def timestamp_authority(database: Database, folder: Path) -> TimestampAuthority:
    """Over what was founded there."""
    keys = SoftwareKeyStore(folder, PASSPHRASE)
    registry = AuthorityRegistry(database, system_clock)
    status = StatusService(StatusLog())
    units = TimestampUnits(database, registry, keys, status, system_clock, authority="citizen-g1")
    records = TimestampRecords(database, AuditLog(system_clock, system_rng), system_clock)
    return TimestampAuthority(units, records, SteadyClock(system_clock), system_clock, system_rng)


def stamped_serial(authority: TimestampAuthority, number: int) -> int:
    """The serial of a stamp that was given."""
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": sha256(bytes([number % 256])).digest()}
    asked = tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "cert_req": True}).dump()
    answer = authority.respond(asked)
    if answer.failure is not None:
        raise AssertionError(answer.failure)
    response = TimeStampResponse.load(answer.der, strict=True)
    info = response["time_stamp_token"]["content"]["encap_content_info"]["content"].parsed
    serial: int = info["serial_number"].native
    return serial


def main(url: str, folder: str) -> None:
    authority = timestamp_authority(Database.open(url), Path(folder))
    for number in range(1_000_000):
        print(f"{stamped_serial(authority, number):x}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
