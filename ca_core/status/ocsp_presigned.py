"""Answers signed beforehand, so that a key in an HSM is not waited for, and what is asked often costs no signature.

A row holds one CertID's answer and the place in the status log of the change it speaks of. It is handed out only where
the certificate's latest change, read in the same breath, is that very one, its signer is the responder of now, and it
is in the first half of its life: a stored "good" ends with the commit of the revocation, on every node.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from ca_core.authorities.model import Authority
from ca_core.kernel.clock import Clock
from ca_core.kernel.database import Database, Transaction
from ca_core.revocation.log import StatusLog
from ca_core.status import ocsp_store
from ca_core.status.errors import ResponderMissing
from ca_core.status.model import OcspSettings, Responder
from ca_core.status.ocsp_answers import AnswerSigner, Found, SignedAnswer
from ca_core.status.ocsp_request import CertId
from ca_core.status.ocsp_store import StoredAnswer
from ca_core.status.ports import Authorities
from ca_core.status.responders import Responders
from ca_core.status.service import StatusService

_NOTED = 8_192
_PAGE = 200
_CLAIMED = timedelta(seconds=60)
_TOUCH_AFTER = timedelta(days=1)


class PresignedAnswers:
    """The table of them, and the work that keeps it young."""

    def __init__(
        self,
        database: Database,
        authorities: Authorities,
        responders: Responders,
        signer: AnswerSigner,
        status: StatusService,
        log: StatusLog,
        clock: Clock,
        settings: OcspSettings,
    ) -> None:
        self._database = database
        self._authorities = authorities
        self._responders = responders
        self._signer = signer
        self._status = status
        self._log = log
        self._clock = clock
        self._settings = settings
        self._lock = threading.Lock()
        self._noted: OrderedDict[str, StoredAnswer | None] = OrderedDict()
        self._seen: int | None = None

    def ask(self, tx: Transaction, cert_id: CertId) -> Callable[[], StoredAnswer | None]:
        """What is stored, by the next statement's exchange."""
        return ocsp_store.ask_answer_of(tx, _digest(cert_id.octets))

    def holds(self, stored: StoredAnswer, found: Found, responder: Responder, now: datetime) -> SignedAnswer | None:
        """The stored answer, where it says what is true now. found: what was read after it about the same CertID."""
        if stored.responder_id != responder.certificate_id:
            return None
        if (stored.certificate_id, stored.changed) != (found.certificate_id, found.changed):
            return None
        answer = self._signer.stored(
            stored.der,
            frozenset((stored.certificate_id, stored.responder_id)),
            stored.this_update,
            stored.next_update,
        )
        if not answer.is_young(now):
            return None
        if now - stored.asked_at > _TOUCH_AFTER:
            self._note(stored.cert_id_digest, None)
        return answer

    def note(
        self, cert_id: CertId, authority: Authority, found: Found, responder: Responder, answer: SignedAnswer
    ) -> None:
        """Remembers, in bounded memory, an answer that was just signed, for the next `run_once` to store."""
        if found.certificate_id is not None:
            stored = self._to_store(cert_id.octets, cert_id.serial, authority, found, responder, answer)
            self._note(stored.cert_id_digest, stored)

    def run_once(self) -> int:
        """Stores what was asked for, signs anew what has changed or grows old; returns how many it signed.

        What the process with the responders' keys calls every few seconds; several may, and share the work.
        Raises: Unavailable, KeyStoreError.
        """
        if not self._settings.presign:
            return 0
        self._store_noted()
        self._hurry_changed()
        signed = 0
        while True:
            page = self._claim_due()
            signed += self._refresh(page)
            if len(page) < _PAGE:
                return signed

    def _note(self, digest: str, stored: StoredAnswer | None) -> None:
        with self._lock:
            if stored is not None or digest not in self._noted:
                self._noted[digest] = stored
            while len(self._noted) > _NOTED:
                self._noted.popitem(last=False)

    def _store_noted(self) -> None:
        with self._lock:
            noted, self._noted = self._noted, OrderedDict()
        items, now = list(noted.items()), self._clock()
        for start in range(0, len(items), _PAGE):
            with self._database.write() as tx:
                for digest, stored in items[start : start + _PAGE]:
                    if stored is not None:
                        ocsp_store.put_answer(tx, stored)
                    ocsp_store.touch_answer(tx, digest, now)

    def _hurry_changed(self) -> None:
        """What changed while no process looked is not lost: such a row is not handed out, and ages."""
        with self._database.read() as tx:
            if self._seen is None:
                self._seen = self._log.head(tx)
            changes = self._log.changes_after(tx, self._seen, limit=_PAGE)
        if changes:
            now = self._clock()
            with self._database.write() as tx:
                for certificate_id in sorted({change.certificate_id for change in changes}):
                    ocsp_store.hurry_answers(tx, certificate_id, now)
            self._seen = changes[-1].sequence

    def _claim_due(self) -> list[StoredAnswer]:
        """Those that this worker is to sign anew. What nobody asked for in a long time is forgotten instead."""
        now, claimed = self._clock(), []
        oldest = now - self._settings.forget_after
        with self._database.read() as tx:
            if not ocsp_store.due_answers(tx, now, 1):
                return []
        with self._database.write() as tx:
            for stored in ocsp_store.due_answers(tx, now, _PAGE):
                if stored.asked_at < oldest:
                    ocsp_store.forget_answer(tx, stored.cert_id_digest)
                elif ocsp_store.claim_answer(tx, stored, now + _CLAIMED):
                    claimed.append(stored)
        return claimed

    def _refresh(self, page: Sequence[StoredAnswer]) -> int:
        made = []
        for stored in page:
            authority = self._authorities.by_id(stored.authority_id)
            fresh = self._signed(authority, stored.cert_id, stored.serial)
            if fresh is not None:
                made.append(fresh)
        self._put(made)
        return len(made)

    def _signed(self, authority: Authority, cert_id: bytes, serial: int) -> StoredAnswer | None:
        """Reads, then signs, with no transaction open meanwhile. None where nobody can sign, or nothing is known."""
        now = self._clock()
        try:
            responder = self._responders.current(authority.id)
        except ResponderMissing:
            return None
        with self._database.read() as tx:
            found = self._signer.find(tx, authority, cert_id, serial, now)
        if found.certificate_id is None:
            return None
        answer = self._signer.sign(responder, (found,), now)
        return self._to_store(cert_id, serial, authority, found, responder, answer)

    def _put(self, made: Sequence[StoredAnswer]) -> None:
        if made:
            with self._database.write() as tx:
                for stored in made:
                    ocsp_store.put_answer(tx, stored)

    def _to_store(
        self,
        cert_id: bytes,
        serial: int,
        authority: Authority,
        found: Found,
        responder: Responder,
        answer: SignedAnswer,
    ) -> StoredAnswer:
        if found.certificate_id is None:
            raise TypeError("nothing is stored about a serial that was never issued")
        return StoredAnswer(
            cert_id_digest=_digest(cert_id),
            cert_id=cert_id,
            serial=serial,
            certificate_id=found.certificate_id,
            authority_id=authority.id,
            changed=found.changed,
            responder_id=responder.certificate_id,
            der=answer.der,
            this_update=answer.this_update,
            next_update=answer.next_update,
            refresh_at=answer.this_update + (answer.next_update - answer.this_update) * 0.4,
            asked_at=self._clock(),
        )


def _digest(cert_id: bytes) -> str:
    return sha256(cert_id).hexdigest()
