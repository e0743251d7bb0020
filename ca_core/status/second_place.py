"""CRL numbers in the second place: a restored database repeats none of them."""

from datetime import datetime

from ca_core.kernel.database import Transaction
from ca_core.kernel.second_place import Record
from ca_core.status import crl_store
from ca_core.status.model import CrlKind

NUMBER_KIND = "crl_number"


def number_record(authority_id: int, number: int) -> Record:
    """A number that a list of that authority may bear from now on."""
    return {"kind": NUMBER_KIND, "authority_id": authority_id, "number": number}


def holds_number(tx: Transaction, authority_id: int, number: int) -> bool:
    """Whether the authority's next number is above this one."""
    return crl_store.last_number(tx, authority_id) >= number


def raise_number(tx: Transaction, authority_id: int, number: int, now: datetime) -> bool:
    """The authority's next number will be above this one, by a row that is never published; False where it is."""
    if holds_number(tx, authority_id, number):
        return False
    crl_id = crl_store.reserve(
        tx,
        authority_id,
        CrlKind.COMPLETE,
        number=number,
        base_number=None,
        this_update=now,
        next_update=now,
        through=0,
    )
    crl_store.give_up(tx, crl_id)
    return True
