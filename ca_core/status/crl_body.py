"""The lists of one edition on their way into the database: hashed, judged and stored while they come."""

from ca_core.kernel.database import Database, Transaction
from ca_core.keys.model import PrivateKey, PublicKey
from ca_core.status import crl_store
from ca_core.status.crl_entries import verify_entries
from ca_core.status.crl_frame import CrlFrame, certificate_list_header
from ca_core.status.crl_lint import SAMPLE, CrlLinter
from ca_core.status.signing import hasher_of, sign_digest, verify_digest_signature

CHUNK_BYTES = 262_144
_PENDING_BYTES = 1_048_576
_BUFFERS_BYTES = 4_194_304


class ChunkWriter:
    """Stores chunks of one edition, about a megabyte a transaction."""

    def __init__(self, database: Database, crl_id: int) -> None:
        self._database = database
        self._crl_id = crl_id
        self._pending: list[tuple[int, int, bytes]] = []
        self._size = 0

    def put(self, shard: int, position: int, octets: bytes) -> None:
        self._pending.append((shard, position, octets))
        self._size += len(octets)
        if self._size >= _PENDING_BYTES:
            with self._database.write() as tx:
                self.flush(tx)

    def flush(self, tx: Transaction) -> None:
        """Stores what is still here, in the caller's transaction."""
        crl_store.add_chunks(tx, self._crl_id, self._pending)
        self._pending = []
        self._size = 0


def chunk_bytes(lists: int) -> int:
    """How large a chunk is where that many lists are made at once: their buffers have a bound in sum."""
    return min(CHUNK_BYTES, max(_BUFFERS_BYTES // lists, 8_192))


class ListBody:
    """One CertificateList. Its octets lie in chunks; chunk 0 is the outer header, whose length is known last.

    shard: its number, or crl_store.WHOLE. octets: the size of all entries that will come.
    """

    def __init__(
        self, writer: ChunkWriter, frame: CrlFrame, *, shard: int, octets: int, key: PublicKey, chunk_size: int
    ) -> None:
        self.shard = shard
        self.size = 0
        self.entries = 0
        self._writer = writer
        self._frame = frame
        self._key = key
        self._hash = hasher_of(key)
        self._chunk_size = chunk_size
        self._buffer = bytearray()
        self._position = 1
        self._sample: list[bytes] = []
        self._left = octets
        self._signed(frame.before(octets))

    @property
    def chunks(self) -> int:
        """How many there are once `finish` was called."""
        return self._position + 1

    def add(self, entries: list[bytes]) -> None:
        """The next entries. Raises: CrlRefused."""
        octets = b"".join(entries)
        verify_entries(octets, delta=self._frame.base_number is not None)
        if len(self._sample) < SAMPLE:
            self._sample += entries[: SAMPLE // 4]
        self.entries += len(entries)
        self._left -= len(octets)
        self._signed(octets)

    def finish(self, key: PrivateKey, linter: CrlLinter) -> None:
        """Judges frame and sample, signs, verifies. Raises: CrlRefused, SigningFault, ValueError."""
        if self._left:
            raise ValueError("the entries changed while they were read")
        self._signed(self._frame.after())
        linter.verify(self._frame, self._sample)
        digest = self._hash.finalize()
        signature = sign_digest(key, digest)
        verify_digest_signature(self._key, digest, signature)
        tail = self._frame.signed_tail(signature)
        head = certificate_list_header(self.size, len(tail))
        self._stored(tail)
        self._writer.put(self.shard, self._position, bytes(self._buffer))
        self._writer.put(self.shard, 0, head)
        self.size += len(head)

    def _signed(self, part: bytes) -> None:
        self._hash.update(part)
        self._stored(part)

    def _stored(self, part: bytes) -> None:
        self.size += len(part)
        self._buffer += part
        whole = len(self._buffer) - len(self._buffer) % self._chunk_size
        for start in range(0, whole, self._chunk_size):
            self._writer.put(self.shard, self._position, bytes(self._buffer[start : start + self._chunk_size]))
            self._position += 1
        del self._buffer[:whole]
